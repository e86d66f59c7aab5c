# SPDX-License-Identifier: Apache-2.0
"""Makes launch descriptions of bring-up files; imports `launch` only when a launch file asks for one."""

from __future__ import annotations

import os
import time
from typing import Any

from pitaya_nodes.bringup import MANAGER, BringUp, NodeSpec, find_bringup, manager_of
from pitaya_nodes.discovery import discovery_environment
from pitaya_nodes.restarts import RESPAWN_DELAY_S, RestartBudget, stays_down
from pitaya_nodes.security import enclave_arguments


def describe(name: str) -> Any:
    """The launch description of a bring-up file: its arguments, and its nodes once the arguments are known.

    Args:
        name: Name of the bring-up file, or a path to it.
    """
    from launch import LaunchDescription  # noqa: TID251 - only reached from a launch file
    from launch.actions import DeclareLaunchArgument, OpaqueFunction  # noqa: TID251

    bringup = find_bringup(name)
    declared = [
        DeclareLaunchArgument(
            argument.name,
            default_value=_text(argument.default),
            description=argument.description,
            choices=list(argument.choices) or None,
        )
        for argument in bringup.arguments.values()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_nodes, args=[bringup])])


def _nodes(context: Any, bringup: BringUp) -> list[Any]:
    """Actions for the nodes, and one that ends the launch when the managed nodes cannot be activated."""
    from launch.actions import RegisterEventHandler  # noqa: TID251
    from launch.event_handlers import OnProcessExit  # noqa: TID251

    given = {name: context.launch_configurations[name] for name in bringup.arguments}
    actions = []
    for spec in bringup.resolve(given):
        if spec.respawn:
            actions += _respawning(spec, RestartBudget())
            continue
        node = _node(spec)
        actions.append(node)
        if spec.name == MANAGER:
            actions.append(RegisterEventHandler(OnProcessExit(target_action=node, on_exit=_on_manager_exit)))
    return actions


def _respawning(spec: NodeSpec, budget: RestartBudget) -> list[Any]:
    """A node that is started and activated again when it dies, as long as the budget lasts.

    Launch's own `respawn` knows no budget, and would leave a managed node unconfigured.
    """
    from launch.actions import LogInfo, RegisterEventHandler, TimerAction  # noqa: TID251
    from launch.event_handlers import OnProcessExit  # noqa: TID251

    def on_exit(_: Any, context: Any) -> Any:
        if context.is_shutdown:
            return None
        if not budget.take(time.monotonic()):
            return [LogInfo(msg=stays_down(spec.name))]
        again = _respawning(spec, budget)
        if spec.managed:
            again.append(_node(manager_of([spec.name], spec.namespace)))
        return [TimerAction(period=RESPAWN_DELAY_S, actions=again)]

    node = _node(spec)
    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=on_exit))]


def _node(spec: NodeSpec) -> Any:
    from launch_ros.actions import Node  # noqa: TID251

    return Node(
        package=spec.package,
        executable=spec.executable,
        name=spec.name,
        namespace=spec.namespace,
        arguments=list(spec.arguments),
        parameters=[dict(spec.parameters)] if spec.parameters else [],
        remappings=list(spec.remappings.items()),
        ros_arguments=enclave_arguments(spec.name, os.environ),
        additional_env=discovery_environment(os.environ),
        output="screen",
    )


def _on_manager_exit(event: Any, _: Any) -> Any:
    from launch.actions import EmitEvent  # noqa: TID251
    from launch.events import Shutdown  # noqa: TID251

    if event.returncode == 0:
        return None
    return [EmitEvent(event=Shutdown(reason="the managed nodes could not be activated"))]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
