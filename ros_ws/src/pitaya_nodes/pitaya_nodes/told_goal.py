# SPDX-License-Identifier: Apache-2.0
"""The goal positions that a policy is told and its judge needs: by topic `goal`, by joint name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import JointState

from meta_rl_core.errors import InvalidValueError, PitayaError
from meta_rl_core.runtime.terms import NameMap
from pitaya_nodes import convert, qos
from pitaya_nodes.errors import GoalMissingError
from pitaya_nodes.managed_node import ManagedNode

Array = NDArray[np.float64]


class ToldGoal:
    """Goal positions of some joints; where there are none nothing is heard and nothing is missing.

    Attributes:
        joints: Joints that have a goal, in the order of `position`.
        position: Their goal positions [rad], shape (G,), or None as long as nobody has told them.
    """

    def __init__(
        self,
        node: ManagedNode,
        joints: Sequence[str],
        first: Sequence[float] | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Listens until the node is cleaned up.

        Args:
            node: A node that is being configured.
            joints: Joints that have a goal; may be empty.
            first: Goal positions at the start [rad], in the order of `joints`, or None.
            on_change: Called when other goal positions have come.

        Raises:
            InvalidValueError: If `first` has another length or holds a number that is not finite.
        """
        self.joints, self.position = (
            tuple(joints),
            None if first is None else np.array(first, dtype=np.float64),
        )
        self._node, self._on_change = node, on_change
        if self.position is not None and (
            self.position.shape != (len(self.joints),) or not np.isfinite(self.position).all()
        ):
            names = ", ".join(self.joints) or "none, since this policy is told no goal"
            raise InvalidValueError(
                f"the goal at start must be {len(self.joints)} finite numbers (positions of {names}), "
                f"got {self.position.tolist()}"
            )
        if self.joints:
            self._names, self._monitor = NameMap(self.joints), node.diagnostics.monitor("goal")
            node.listen(JointState, "goal", self._on_goal, qos.LATCHED)

    @property
    def known(self) -> bool:
        """Whether every joint that has a goal knows it."""
        return not self.joints or self.position is not None

    def missing(self) -> GoalMissingError:
        """What an episode cannot begin without."""
        refused = f"; the last one was refused: {self._monitor.last_reason}" if self._monitor.refusals else ""
        return GoalMissingError(
            f"the goal position of {', '.join(self.joints)} is missing: this policy must be told it, and none came on "
            f"{self._node.resolve_topic_name('goal')}{refused}; publish it there, latched, as sensor_msgs/JointState, "
            "or set parameter goal_position"
        )

    def _on_goal(self, message: JointState) -> None:
        self._monitor.came()
        try:
            position = self._names.arrange(convert.reading_from_state(message, with_velocity=False)).position
        except PitayaError as error:
            self._monitor.refuse(type(error).__name__, str(error))
            self._node.get_logger().error(f"goal refused: {error}")
            return
        if self.position is None or not np.array_equal(position, self.position):
            self.position = position
            self._on_change()
