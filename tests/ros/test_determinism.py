# SPDX-License-Identifier: Apache-2.0
"""Lock-step repeats to the byte, whatever the processes' timing; the benchmark runs the same over 10,000 steps."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.lockstep_determinism import COMPARED, run_twice
from meta_rl_core.bundle import load_bundle
from meta_rl_core.registry import load_family
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.context import Transition
from meta_rl_core.runtime.terms import NameMap, assemble
from pitaya_nodes.demo_run import DemoSettings
from sim_bridge.dclaw.plant import DClawPlant
from tests.helpers.bundles import make_random_bundle
from tests.ros.graph import Graph


def test_the_same_seed_twice_gives_the_same_bytes_and_states_commands_and_beliefs(bundle: Path) -> None:
    settings = DemoSettings(
        bundle=bundle,
        plant="dclaw",
        family="",
        task_seed=7,
        seed=5,
        episodes=3,
        steps=25,
        exploration_episodes=1,
        real_time=False,
        folder=Path(),
    )
    results = run_twice(settings)
    assert results["first_difference"] == dict.fromkeys(COMPARED)
    assert results["identical"]
    # Each episode shows one state more than it has commands; states of before the first episode are recorded too.
    assert results["messages"]["/executed_command"] == 75
    assert results["messages"]["/joint_states"] >= 78
    # One belief per transition, and one when each episode begins.
    assert results["messages"]["/policy_node/belief"] >= 78


@pytest.mark.parametrize("family", ["dclaw-turn", "dclaw-turn-dynamics"])
def test_the_graph_computes_what_the_same_loop_computes_in_one_process(
    graph: Graph, tmp_path: Path, family: str
) -> None:
    bundle = make_random_bundle(tmp_path / "bundle", family).path
    graph.up(bundle=str(bundle), family=family, task_seed="7")
    outcome = graph.probe.result(
        graph.probe.send(episodes=3, steps_per_episode=12, exploration_episodes=2, seed=21)
    )
    returns, errors, adapter = adapt_in_process(bundle, episodes=3, steps=12, exploration_episodes=2, seed=21)
    assert list(outcome.result.returns) == returns
    assert list(outcome.result.final_errors) == errors
    belief = outcome.result.belief
    assert list(belief.evidence_precision) == adapter.belief.evidence_precision.tolist()
    assert list(belief.evidence_precision_mean) == adapter.belief.evidence_precision_mean.tolist()
    assert list(belief.z) == adapter.z.tolist()


def adapt_in_process(
    path: Path, episodes: int, steps: int, exploration_episodes: int, seed: int
) -> tuple[list[float], list[float], Adapter]:
    """Plant, policy and reward without ROS, as plainly as can be."""
    loaded = load_bundle(path)
    family = load_family(loaded.manifest.family)
    plant = DClawPlant.of_family(family.spec.name)
    robot, reward = loaded.robot, family.reward_model
    names = NameMap(robot.joint_names)
    task = family.heldout_tasks(1, 7)[0]
    plant.set_task(task)
    goal = task[:1] if robot.goal_joints else None
    adapter = Adapter(loaded, seed, "sample", exploration_episodes)
    returns, errors = [], []
    for episode in range(episodes):
        plant.reset(seed, episode)
        adapter.begin_episode()
        action, total, error = np.zeros(robot.action_dim), 0.0, np.nan
        reading = names.arrange(plant.read())
        observation = robot.observe(reading.position, reading.velocity, action, goal)
        for _ in range(steps):
            action = adapter.act(observation)
            plant.write(robot.command(action, reading.position))
            plant.step(robot.period_s)
            reading = names.arrange(plant.read())
            signals = assemble(reward.signal_terms, reading.names, reading.position, reading.velocity)
            judgement = reward.judge(signals, action, task)
            following = robot.observe(reading.position, reading.velocity, action, goal)
            adapter.observe(Transition(observation, action, float(judgement.reward), following))
            observation, error = following, float(judgement.error)
            total += float(judgement.reward)
        returns.append(total)
        errors.append(error)
    return returns, errors, adapter
