# SPDX-License-Identifier: Apache-2.0
"""How well a policy adapts through the bytes of a Dynamixel bus, beside the plain simulation on the same tasks.

`python -m benchmarks.serial_success [--tasks 50] [--latency-ms 0] [--json FILE]`. Both sides meet the same held-out
tasks from the same starts with the same hypotheses. The plain side is `pitaya evaluate`: a step is 40 steps of physics.
On the other side it is ten cycles of the driver at 100 Hz, which speaks to emulated motors on a line of 1 Mbit/s in
virtual time: ticks of the encoder, units of the speed register, the time that bytes take, the gate's filter with its
soft start, the policy node's rules on which transitions count, and between episodes the scripted reset.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import write_report
from meta_rl_core.bundle import Bundle, load_bundle
from meta_rl_core.dynamixel.driver import HandDriver
from meta_rl_core.dynamixel.mode import Mode
from meta_rl_core.dynamixel.port import BusError
from meta_rl_core.dynamixel.routines import reset, to_start
from meta_rl_core.dynamixel.state import RobotState
from meta_rl_core.families.dclaw_turn import CLAW_JOINTS, PERIOD_S, DClawTurnReward
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.admission import NANOSECONDS, AdmissionRules
from meta_rl_core.runtime.evaluator import Protocol, evaluate_bundle
from meta_rl_core.runtime.pairing import TransitionPairing
from meta_rl_core.runtime.robot_description import RobotDescription
from meta_rl_core.runtime.robot_file import find_robot, load_robot
from meta_rl_core.runtime.safety_filter import JointLimits, SafetyFilter, soft_start
from meta_rl_core.runtime.terms import JointReading, NameMap, assemble
from pitaya_nodes.episode import Episode
from pitaya_nodes.episode_scores import EpisodeOutcome, Score
from sim_bridge.dclaw.families import DClawTurnFamily
from sim_bridge.dclaw.model import JOINTS, start_state
from sim_bridge.dynamixel.emulation import Emulation
from sim_bridge.dynamixel.virtual_port import VirtualPort

Array = NDArray[np.float64]
GATE_SOFT_START_S = 0.5


class SerialHand:
    """An emulated D'Claw with its driver and the gate's filter, in virtual time.

    Attributes:
        emulation: The motors and what they move.
        refused: Commands that the driver did not take.
    """

    def __init__(
        self, robot: RobotDescription, soft_start_s: float = GATE_SOFT_START_S, latency_s: float = 0.0
    ) -> None:
        """Connects, gives torque and takes the start pose.

        Args:
            robot: The robot's description.
            soft_start_s: For how long the gate cuts the first steps of an episode [s].
            latency_s: Time from a state to the command that answers it; less than a cycle [s].
        """
        self.emulation = Emulation(robot)
        self.refused = 0
        self._port = VirtualPort(self.emulation)
        self._driver = HandDriver(robot, self._port)
        self._period_s = 1.0 / robot.state_hz
        self._filter = SafetyFilter(JointLimits.from_robot(robot, CLAW_JOINTS), PERIOD_S)
        self._soft_start_s, self._latency_s = soft_start_s, latency_s
        self._first_s: float | None = None
        self._begin_s = 0.0
        self._driver.connect()
        self.cycle()
        self._go(to_start(self._driver))

    def reset(self, world_seed: int) -> JointReading:
        """Brings the object to where an episode of the simulation starts, the hand to its start pose.

        Raises:
            BusError: If the reset needs a person.
        """
        self._go(reset(self._driver, float(start_state(world_seed)[1 + JOINTS.index("valve_joint")])))
        self._first_s = None
        return self.cycle()

    def command(self, wanted: Array, measured: Array) -> Array:
        """Gives a command to the driver as the gate would; gives what is left of it.

        Args:
            wanted: What the policy wants [rad], shape (9,).
            measured: Where the fingers are [rad], shape (9,).
        """
        self._first_s = self._port.now_s if self._first_s is None else self._first_s
        share = soft_start(self._port.now_s - self._first_s, self._soft_start_s)
        command = self._filter.limit(wanted, measured, share=share).command
        self._port.sleep(self._latency_s)
        try:
            self._driver.command(command)
        except BusError:
            self.refused += 1
        return command

    def cycle(self) -> JointReading:
        """One cycle, which begins a period after the one before.

        Raises:
            BusError: If there is no state yet.
        """
        self._port.sleep_until(self._begin_s)
        self._begin_s = self._port.now_s + self._period_s
        self._driver.cycle()
        if self._driver.state is None:
            raise BusError("the motors were not all understood")
        return _reading(self._driver.state, self._driver.robot)

    def _go(self, routine: Any) -> None:
        self._driver.start(routine)
        while self._driver.mode is Mode.ROUTINE:
            self.cycle()
        if self._driver.mode is not Mode.HOLD or self._driver.reason:
            raise BusError(self._driver.reason or f"the driver is in mode {self._driver.mode.value}")


def _reading(state: RobotState, robot: RobotDescription) -> JointReading:
    return JointReading(
        round(state.time_s * NANOSECONDS), robot.measured_names, state.position, state.velocity
    )


def adapt(
    hand: SerialHand, bundle: Bundle, target_rad: float, protocol: Protocol, seeds: Sequence[int]
) -> tuple[list[EpisodeOutcome], int]:
    """Meets one task on the bus, by the code of the policy node.

    Args:
        hand: The hand.
        bundle: The policy.
        target_rad: The hidden target [rad].
        protocol: How the task is met.
        seeds: One for the hypotheses, then one for each episode's start.

    Returns:
        How each episode went, and how many transitions counted.
    """
    adapter = protocol.make_adapter(bundle, seeds[0])
    pairing = TransitionPairing(AdmissionRules(bundle.robot.period_s))
    outcomes = [
        _run_episode(hand, bundle, adapter, pairing, target_rad, index, seed)
        for index, seed in enumerate(seeds[1:])
    ]
    return outcomes, pairing.accepted


def _run_episode(
    hand: SerialHand,
    bundle: Bundle,
    adapter: Adapter,
    pairing: TransitionPairing,
    target_rad: float,
    index: int,
    seed: int,
) -> EpisodeOutcome:
    names, judged = (
        NameMap(bundle.robot.joint_names, needs_velocity=True),
        NameMap(JOINTS, needs_velocity=True),
    )
    reading = hand.reset(seed)
    episode = Episode(bundle.robot, adapter, pairing, index, bundle.manifest.horizon, reading.stamp_ns)
    while True:
        command = episode.answer(names.arrange(reading))
        row = judged.arrange(reading)
        if command is not None:
            episode.executed(reading.stamp_ns, hand.command(command, row.position[: len(CLAW_JOINTS)]))
        episode.score(reading.stamp_ns, _score(row, target_rad))
        episode.absorb()
        if not episode.acting:
            return episode.close()
        reading = hand.cycle()


def _score(row: JointReading, target_rad: float) -> Score:
    assert row.velocity is not None
    signals = assemble(DClawTurnReward.signal_terms, JOINTS, row.position, row.velocity)
    judgement = DClawTurnReward().judge(signals, np.zeros(len(CLAW_JOINTS)), np.array([target_rad]))
    reward = float(judgement.reward)
    return Score(reward, reward, float(judgement.error), bool(judgement.success))


def compare(
    bundle: Path,
    robot: RobotDescription,
    tasks: int,
    seed: int = 0,
    soft_start_s: float = GATE_SOFT_START_S,
    latency_s: float = 0.0,
) -> dict[str, Any]:
    """Evaluates a policy for `dclaw-turn` on both sides.

    Args:
        bundle: Its directory.
        robot: Description of the emulated robot.
        tasks: How many held-out tasks.
        seed: Decides tasks, starts and hypotheses.
        soft_start_s: For how long the gate cuts the first steps of an episode; 0 for not at all [s].
        latency_s: Time that policy and gate take to answer a state [s].
    """
    policy, protocol = load_bundle(bundle), Protocol(seed=seed)
    family = DClawTurnFamily("dclaw-turn", sparse=False)
    targets = family.heldout_tasks(tasks, seed)
    plain = evaluate_bundle(policy, family, targets, protocol)
    begin_s, emulated_s = time.monotonic(), 0.0
    episodes, counted, refused = [], 0, 0
    for index, target_rad in enumerate(targets[:, 0]):
        # As in the evaluation: a stream for each task, its first number for z, one for each start.
        stream = np.random.SeedSequence((seed, index))
        seeds = [
            int(number >> np.uint64(1)) for number in stream.generate_state(1 + protocol.episodes, np.uint64)
        ]
        hand = SerialHand(robot, soft_start_s, latency_s)
        outcomes, accepted = adapt(hand, policy, float(target_rad), protocol, seeds)
        episodes.append(outcomes)
        counted, refused = counted + accepted, refused + hand.refused
        emulated_s += hand.emulation.now_s
    success = np.array([[outcome.success for outcome in row] for row in episodes])
    return {
        "bundle": policy.hash,
        "tasks": tasks,
        "seed": seed,
        "soft_start_s": soft_start_s,
        "latency_s": latency_s,
        "plain": _summary(plain.success, plain.returns, plain.final_error),
        "serial": _summary(
            success,
            np.array([[outcome.episode_return for outcome in row] for row in episodes]),
            np.array([[outcome.final_error for outcome in row] for row in episodes]),
        ),
        "difference_points": round(100.0 * float(success[:, -1].mean() - plain.success[:, -1].mean()), 1),
        "solved_by_one_alone": {
            "plain": int((plain.success[:, -1] & ~success[:, -1]).sum()),
            "serial": int((success[:, -1] & ~plain.success[:, -1]).sum()),
        },
        "transitions_counted": round(counted / (tasks * protocol.episodes * policy.manifest.horizon), 3),
        "commands_refused": refused,
        "emulated_s": round(emulated_s, 1),
        "wall_s": round(time.monotonic() - begin_s, 1),
    }


def _summary(success: NDArray[np.bool_], returns: Array, error: Array) -> dict[str, Any]:
    return {
        "success_by_episode": [round(float(value), 4) for value in success.mean(axis=0)],
        "return_by_episode": [round(float(value), 1) for value in returns.mean(axis=0)],
        "median_error_rad": round(float(np.median(error[:, -1])), 4),
        "final_error_rad": [round(float(value), 4) for value in error[:, -1]],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit status is 1 if the success differs by more than five points."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bundle", type=Path, default=Path("policies/dclaw-turn"))
    parser.add_argument("--robot", default="dclaw", help="name or path of a robot description")
    parser.add_argument("--soft-start-s", type=float, default=GATE_SOFT_START_S)
    parser.add_argument("--latency-ms", type=float, default=0.0, help="that policy and gate take")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    robot = load_robot(find_robot(options.robot))
    latency_s = options.latency_ms / 1000.0
    results = compare(options.bundle, robot, options.tasks, options.seed, options.soft_start_s, latency_s)
    write_report(options.json, results)
    return int(abs(results["difference_points"]) > 5.0)


if __name__ == "__main__":
    raise SystemExit(main())
