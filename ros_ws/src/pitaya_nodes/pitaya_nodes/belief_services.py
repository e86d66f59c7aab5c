# SPDX-License-Identifier: Apache-2.0
"""The policy node's services that reset, save and load its belief."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pitaya_msgs.srv import LoadBelief, SaveBelief
from std_srvs.srv import Trigger

from meta_rl_core.errors import InvalidValueError, PitayaError
from pitaya_nodes.belief_files import load_belief, save_belief

if TYPE_CHECKING:
    from pitaya_nodes.policy_node import PolicyNode


def serve_beliefs(node: PolicyNode) -> None:
    """Offers the services while the node stays configured; an error becomes an answer with the reason."""

    def check_idle() -> None:
        if node.goal_runs:
            raise InvalidValueError("an Adapt goal runs: cancel it first")

    def reset(_: Trigger.Request, __: Trigger.Response) -> Trigger.Response:
        try:
            check_idle()
            node.adapter.reset_belief()
        except PitayaError as error:
            return Trigger.Response(success=False, message=str(error))
        node.belief_episode = -1
        node.transitions.believe()
        node.journal.replaced("reset")
        node.publish_belief()
        return Trigger.Response(success=True)

    def save(request: SaveBelief.Request, _: SaveBelief.Response) -> SaveBelief.Response:
        try:
            save_belief(node.adapter, request.path)
        except PitayaError as error:
            return SaveBelief.Response(success=False, message=str(error))
        return SaveBelief.Response(success=True)

    def load(request: LoadBelief.Request, _: LoadBelief.Response) -> LoadBelief.Response:
        try:
            check_idle()
            load_belief(node.adapter, request.path)
        except PitayaError as error:
            return LoadBelief.Response(success=False, message=str(error))
        node.belief_episode = node.adapter.episode
        node.transitions.believe()
        node.journal.replaced("load")
        node.publish_belief()
        return LoadBelief.Response(success=True)

    node.serve(Trigger, "~/reset_belief", reset)
    node.serve(SaveBelief, "~/save_belief", save)
    node.serve(LoadBelief, "~/load_belief", load)
