# SPDX-License-Identifier: Apache-2.0
"""Stands in for the plant where nothing may move: a reset is wherever the live robot is now."""

from __future__ import annotations

from pitaya_msgs.srv import ResetPlant
from sensor_msgs.msg import JointState

from pitaya_nodes import qos
from pitaya_nodes.errors import BringUpError
from pitaya_nodes.managed_node import ManagedNode, run


class ShadowPlant(ManagedNode):
    """Answers `reset_plant` with the stamp of the next joint state of a live robot, and moves nothing."""

    def __init__(self) -> None:
        """Declares no parameters of its own."""
        super().__init__("shadow_plant", ())
        self._states = self.diagnostics.monitor("joint_states")
        self._latest: JointState | None = None

    def configure(self) -> None:
        """Listens and serves.

        Raises:
            BringUpError: If the node runs beside the robot and would answer in its place.
        """
        service, states = self.resolve_service_name("reset_plant"), self.resolve_topic_name("joint_states")
        if service.rpartition("/")[0] == states.rpartition("/")[0]:
            raise BringUpError(
                f"{service} would be the live robot's own: run the shadow in a namespace of its own (namespace:=shadow)"
            )
        self.listen(JointState, "joint_states", self._on_state, qos.EVERY_STATE)
        self.serve(ResetPlant, "reset_plant", self._on_reset)

    def release(self) -> None:
        """Forgets the latest state."""
        self._latest = None

    def _on_state(self, message: JointState) -> None:
        self._states.came()
        self._latest = message

    def _on_reset(self, _: ResetPlant.Request, response: ResetPlant.Response) -> ResetPlant.Response:
        if not self.active or self._latest is None:
            response.success, response.message = False, "no joint state of a live robot has come yet"
            return response
        response.success, response.stamp = True, self._latest.header.stamp
        response.message = "nothing was moved; the episode begins where the robot is"
        return response


def main() -> int:
    """Entry point."""
    return run(ShadowPlant)


if __name__ == "__main__":
    raise SystemExit(main())
