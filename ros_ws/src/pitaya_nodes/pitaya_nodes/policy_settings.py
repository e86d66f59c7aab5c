# SPDX-License-Identifier: Apache-2.0
"""The policy node's parameters."""

from __future__ import annotations

from rclpy.parameter import Parameter

from meta_rl_core.runtime.time_outs import SERVO_WATCHDOG_S, STATE_AGE_S
from pitaya_nodes.applied_commands import ACKNOWLEDGED
from pitaya_nodes.parameters import Setting
from pitaya_nodes.realtime import REALTIME_PRIORITY

SETTINGS = (
    Setting("bundle", "", "Directory of the policy bundle to run."),
    Setting(
        "plant_timeout_s",
        5.0,
        "A goal is aborted when the plant neither answers nor shows a new state for this long [s].",
        low=0.1,
        high=600.0,
        fixed=False,
    ),
    Setting(
        "reward_timeout_s",
        2.0,
        "How long the end of an episode waits for rewards and executed commands that are still missing [s].",
        low=0.0,
        high=60.0,
        fixed=False,
    ),
    Setting(
        "lock_step",
        False,
        "Whether the plant waits for each command. Then a step waits for its reward until the episode ends; "
        "otherwise for two periods. Nothing is late in lock-step.",
    ),
    Setting(
        "state_timeout_s",
        STATE_AGE_S,
        "When the newest sound joint state is older than this the measured position is held; shorter than 0.1 s, "
        "after which servos stop by themselves [s].",
        low=0.005,
        high=SERVO_WATCHDOG_S,
    ),
    Setting(
        "least_authority",
        1.0,
        "Share of the allowed step that the policy may use under the prior; grows to all of it as the belief narrows. "
        "1: everything always.",
        low=0.05,
        high=1.0,
    ),
    Setting("journal", "", "Folder in which every change of the belief is kept; empty: none is kept."),
    Setting(
        "journal_restore",
        True,
        "Whether the belief of an interrupted run comes back when the node is configured; false gives it up.",
    ),
    Setting(
        "watch_task",
        True,
        "Whether the belief goes back to the prior when transitions show that the task has changed, if the bundle can "
        "tell.",
    ),
    Setting(
        "change_alarm",
        0.0,
        "How much evidence it takes to say that the task has changed [nat]; 0: as calibrated with the bundle.",
        low=0.0,
        high=1000.0,
    ),
    Setting(
        "hardware_fingerprint",
        "",
        "Identity of the robot hardware; a belief that was made on another one is not restored.",
    ),
    ACKNOWLEDGED,
    REALTIME_PRIORITY,
    Setting(
        "goal_position",
        Parameter.Type.DOUBLE_ARRAY,
        "Goal positions at start [rad], in the order of the bundle's goal joints, where it is told any; without it, "
        "the topic `goal` tells.",
    ),
)
