# SPDX-License-Identifier: Apache-2.0
"""The only module that knows both ROS messages and core types."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from pitaya_msgs.msg import JointCommand, StampedReward, Task, TaskBelief
from sensor_msgs.msg import JointState

from meta_rl_core import belief as core
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes.episode_scores import Score

Array = NDArray[np.float64]
NANOSECONDS = 1_000_000_000


def stamp_ns(stamp: Any) -> int:
    """A ROS time as nanoseconds."""
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


def time_message(nanoseconds: int) -> Time:
    """Nanoseconds as a ROS time."""
    seconds, rest = divmod(nanoseconds, NANOSECONDS)
    return Time(sec=seconds, nanosec=rest)


def score(message: StampedReward, *, sparse: bool) -> Score:
    """What a reward says of its state; the belief learns from the sparse reward if `sparse`."""
    context_reward = message.sparse_reward if sparse else message.reward
    return Score(message.reward, context_reward, message.error, message.success)


def reading_from_state(message: JointState, *, with_velocity: bool = True) -> JointReading:
    """Joint positions [rad] and, unless absent or not wanted, velocities [rad/s], in the sender's order."""
    velocity = np.array(message.velocity) if with_velocity and len(message.velocity) else None
    return JointReading(
        stamp_ns(message.header.stamp), tuple(message.name), np.array(message.position), velocity
    )


def reading_from_command(message: JointCommand) -> JointReading:
    """A command in the form of a reading, so that the same name map and checks serve both."""
    return JointReading(
        stamp_ns(message.header.stamp), tuple(message.joint_names), np.array(message.position)
    )


def state_message(reading: JointReading) -> JointState:
    """A reading as a joint state."""
    message = JointState(name=list(reading.names), position=array("d", reading.position))
    message.header.stamp = time_message(reading.stamp_ns)
    if reading.velocity is not None:
        message.velocity = array("d", reading.velocity)
    return message


def command_message(names: Sequence[str]) -> JointCommand:
    """An empty command of these joints, made once and filled at every tick by `fill_command`."""
    return JointCommand(joint_names=list(names), position=array("d", [0.0] * len(names)))


def fill_command(message: JointCommand, stamp: Any, position: Array) -> JointCommand:
    """Puts the stamp of the answered state and the positions [rad] into a prepared command."""
    message.header.stamp = stamp
    message.position = array("d", position)
    return message


def belief_message(belief: core.TaskBelief, z: Array | None, stamp: int, episode: int) -> TaskBelief:
    """A belief with the hypothesis acted on; `stamp` [ns] is that of the newest state in it."""
    message = TaskBelief(
        mean=array("d", belief.mean),
        std=array("d", belief.std),
        evidence_precision=array("d", belief.evidence_precision),
        evidence_precision_mean=array("d", belief.evidence_precision_mean),
        z=array("d", [] if z is None else z),
        transitions=belief.transitions,
        kl_to_prior=belief.kl_to_prior(),
        episode=episode,
    )
    message.header.stamp = time_message(stamp)
    return message


def task_message(family: str, names: Sequence[str], values: Array, seed: int, stamp: int) -> Task:
    """A task; `seed` is -1 where it was set by value, `stamp` [ns] the time from which it holds."""
    message = Task(family=family, names=list(names), values=array("d", values), seed=seed)
    message.header.stamp = time_message(stamp)
    return message


def reward_message(stamp: Any, judgement: Any) -> StampedReward:
    """A judgement of one state, stamped like that state."""
    message = StampedReward(
        reward=float(judgement.reward),
        sparse_reward=float(judgement.sparse_reward),
        error=float(judgement.error),
        success=bool(judgement.success),
    )
    message.header.stamp = stamp
    return message
