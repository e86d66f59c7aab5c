# SPDX-License-Identifier: Apache-2.0
"""Whatever speaks the documented interface can be the plant: good and bad joint states on the wire."""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from action_msgs.msg import GoalStatus
from sensor_msgs.msg import JointState

from tests.ros.external_plant import FINGERS, VALVE, ExternalPlant
from tests.ros.graph import Graph

STEPS = 5


def test_a_plant_in_a_process_of_its_own_is_driven_through_two_episodes(graph: Graph, bundle: Path) -> None:
    script = Path(__file__).with_name("external_plant.py")
    plant = subprocess.Popen([sys.executable, str(script)])
    try:
        graph.up(bundle=str(bundle), plant="external", external_mode="lock_step")
        outcome = graph.probe.result(graph.probe.send(episodes=2))
    finally:
        plant.terminate()
        plant.wait()
    assert outcome.status == GoalStatus.STATUS_SUCCEEDED
    assert (outcome.result.accepted, outcome.result.rejected) == (80, 0)
    # It starts at 0 and pushes by at most 0.05 rad a step: |0.5 - valve| is at most 0.5 + 40 * 0.05.
    assert all(0.0 <= error <= 2.5 for error in outcome.result.final_errors)


@pytest.fixture(scope="module")
def running(module_graph: Graph, bundle: Path) -> Graph:
    settings = {"policy_node": {"plant_timeout_s": 2.0, "reward_timeout_s": 1.0}}
    return module_graph.up(settings, bundle=str(bundle), plant="external", external_mode="lock_step")


@pytest.fixture
def plant(running: Graph) -> Iterator[ExternalPlant]:
    made = ExternalPlant(running.probe.ros)
    running.probe.add(made)
    # Policy, gate, reward node and probe.
    running.probe.until(lambda: made.count_subscribers("joint_states") >= 4)
    yield made
    running.probe.remove(made)


def run(graph: Graph) -> object:
    return graph.probe.result(graph.probe.send(steps_per_episode=STEPS))


def positions(plant: ExternalPlant) -> list[dict[str, float]]:
    executed = plant.executed[-STEPS:]
    return [dict(zip(item.joint_names, item.position, strict=True)) for item in executed]


def permute(state: JointState) -> JointState:
    order = [VALVE, *reversed(FINGERS)]
    index = [list(state.name).index(name) for name in order]
    return JointState(
        header=state.header,
        name=order,
        position=[state.position[i] for i in index],
        velocity=[state.velocity[i] for i in index],
    )


def with_extra_joint(state: JointState) -> JointState:
    return JointState(
        header=state.header,
        name=["wrist", *state.name],
        position=[math.nan, *state.position],
        velocity=[math.inf, *state.velocity],
    )


@pytest.mark.parametrize("harmless", [permute, with_extra_joint])
def test_order_and_further_joints_do_not_change_a_bit(
    running: Graph, plant: ExternalPlant, harmless: Callable[[JointState], JointState]
) -> None:
    plain = run(running)
    expected = positions(plant)
    plant.distort = harmless
    outcome = run(running)
    assert positions(plant) == expected
    assert outcome.result.belief.evidence_precision == plain.result.belief.evidence_precision
    assert outcome.result.returns == plain.result.returns


def without_a_joint(state: JointState) -> JointState:
    return JointState(
        header=state.header, name=state.name[1:], position=state.position[1:], velocity=state.velocity[1:]
    )


def with_a_joint_twice(state: JointState) -> JointState:
    state.name[1] = state.name[0]
    return state


def with_short_positions(state: JointState) -> JointState:
    state.position = state.position[:-1]
    return state


def with_long_velocities(state: JointState) -> JointState:
    state.velocity = [*state.velocity, 0.0]
    return state


def without_velocities(state: JointState) -> JointState:
    state.velocity = []
    return state


def with_nan(state: JointState) -> JointState:
    state.position[3] = math.nan
    return state


def with_infinite_velocity(state: JointState) -> JointState:
    state.velocity[4] = -math.inf
    return state


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (without_a_joint, f"missing {FINGERS[0]}"),
        (with_a_joint_twice, f"repeated {FINGERS[0]}"),
        (with_short_positions, "position must have 10 numbers"),
        (with_long_velocities, "velocity must have 10 numbers"),
        (without_velocities, "no velocities"),
        (with_nan, "must be finite, got mf_joint0=nan"),
        (with_infinite_velocity, "must be finite, got mf_joint1=-inf"),
    ],
)
def test_a_bad_joint_state_moves_nothing_and_is_named(
    running: Graph, plant: ExternalPlant, harm: Callable[[JointState], JointState], said: str
) -> None:
    plant.distort = harm
    outcome = run(running)
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert said in outcome.result.message
    assert "no step for 2 s" in outcome.result.message
    assert plant.executed == []
    assert outcome.result.accepted == 0


def test_one_bad_state_among_good_ones_costs_nothing(running: Graph, plant: ExternalPlant) -> None:
    shown = []

    def sometimes(state: JointState) -> JointState:
        shown.append(state)
        return with_nan(state) if len(shown) % 3 == 0 else state

    plant.distort = sometimes
    outcome = run(running)
    # A state that was not readable is shown again, sound this time.
    assert (outcome.result.accepted, outcome.result.rejected) == (STEPS, 0)


def test_a_plant_that_falls_silent_ends_the_goal_within_the_timeout(
    running: Graph, plant: ExternalPlant
) -> None:
    plant.distort = lambda state: state if len(plant.executed) < 2 else None
    outcome = run(running)
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert "no step for 2 s" in outcome.result.message
    assert len(plant.executed) == 2
