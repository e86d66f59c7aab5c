# SPDX-License-Identifier: Apache-2.0
"""One episode without ROS: what it answers, what enters the belief, and in which order."""

import tracemalloc
from collections import deque
from functools import partial
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from meta_rl_core.bundle import Bundle, load_bundle
from meta_rl_core.errors import NonFiniteError
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.admission import AdmissionRules
from meta_rl_core.runtime.pairing import TransitionPairing
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes.episode import Episode
from pitaya_nodes.episode_scores import Score
from tests.helpers.bundles import make_random_bundle

MS = 1_000_000


@pytest.fixture(scope="module")
def loaded(bundle: Path) -> Bundle:
    return load_bundle(bundle)


class Run:
    """An episode of three steps, one state every 100 ms from 1 s on."""

    def __init__(self, loaded: Bundle, steps: int = 3, least_authority: float = 1.0) -> None:
        self.robot = loaded.robot
        self.adapter = Adapter(loaded, seed=1, least_authority=least_authority)
        self.pairing = TransitionPairing(AdmissionRules(self.robot.period_s))
        self.beliefs: list[int] = []
        self.episode = Episode(self.robot, self.adapter, self.pairing, 0, steps, 1000 * MS, self._note_belief)

    def _note_belief(self, _: object) -> None:
        self.beliefs.append(self.adapter.belief.transitions)

    def state(self, step: int, value: float = 0.1) -> JointReading:
        joints = len(self.robot.joint_names)
        stamp_ns = (1000 + 100 * step) * MS
        return JointReading(stamp_ns, self.robot.joint_names, np.full(joints, value), np.zeros(joints))

    def answer(self, step: int) -> object:
        command = self.episode.answer(self.state(step, 0.1 + 0.01 * step))
        self.episode.absorb()
        return command


def score(reward: float) -> Score:
    return Score(reward, 10.0 * reward, error=reward / 100.0, success=reward > 2.0)


def test_a_whole_episode_in_order(loaded: Bundle) -> None:
    run = Run(loaded)
    for step in range(4):
        command = run.answer(step)
        assert (command is None) == (step == 3)
        stamp_ns = run.state(step).stamp_ns
        if step:
            run.episode.score(stamp_ns, score(float(step)))
        if command is not None:
            run.episode.executed(stamp_ns, command)
        run.episode.absorb()
    assert not run.episode.acting
    assert run.episode.complete
    assert run.beliefs == [1, 2, 3]
    outcome = run.episode.close()
    # 1 + 2 + 3; the last step has error 0.03 and counts as solved.
    assert outcome.episode_return == 6.0
    assert (outcome.final_error, outcome.success) == (0.03, True)
    assert (outcome.judged, outcome.steps) == (3, 3)


def test_the_order_of_arrival_does_not_change_a_bit_of_the_belief(loaded: Bundle) -> None:
    evidence = set()
    for order in permutations(range(6)):
        run = Run(loaded)
        commands = [run.answer(step) for step in range(4)]
        messages = [
            *(partial(run.episode.executed, run.state(s).stamp_ns, commands[s]) for s in range(3)),
            *(partial(run.episode.score, run.state(s).stamp_ns, score(s)) for s in range(1, 4)),
        ]
        for index in order:
            messages[index]()
            run.episode.absorb()
        assert run.beliefs == [1, 2, 3]
        evidence.add(run.adapter.belief.evidence_precision_mean.tobytes())
    assert len(evidence) == 1


def test_a_score_may_overtake_its_state(loaded: Bundle) -> None:
    run = Run(loaded)
    run.episode.score(run.state(1).stamp_ns, score(1.0))
    run.episode.score(run.state(0).stamp_ns + 50 * MS, score(7.0))  # of a state between two ticks: nobody's
    command = run.answer(0)
    run.episode.executed(run.state(0).stamp_ns, command)
    assert run.beliefs == []
    run.answer(1)
    assert run.beliefs == [1]
    assert run.episode.close().episode_return == 1.0


def test_the_same_state_again_gets_the_same_command_and_an_older_one_none(loaded: Bundle) -> None:
    run = Run(loaded)
    first = run.answer(0)
    second = run.answer(1)
    np.testing.assert_array_equal(run.episode.answer(run.state(1, 9.0)), second)
    assert run.episode.answer(run.state(0)) is None
    assert run.episode.answer(run.state(-1)) is None
    assert run.episode.step == 2
    assert first is not second


def test_states_of_before_the_episode_are_not_answered(loaded: Bundle) -> None:
    run = Run(loaded)
    assert run.episode.answer(run.state(-1)) is None
    assert run.episode.step == 0


def test_a_step_that_was_not_executed_as_commanded_does_not_count(loaded: Bundle) -> None:
    run = Run(loaded, steps=1)
    command = run.answer(0)
    run.episode.executed(run.state(0).stamp_ns, np.asarray(command) + 0.01)
    run.answer(1)
    run.episode.score(run.state(1).stamp_ns, score(1.0))
    run.episode.absorb()
    assert run.episode.complete
    assert (run.pairing.accepted, run.pairing.rejected) == (0, 1)
    assert run.adapter.belief.transitions == 0
    assert run.episode.close().judged == 1


def test_what_is_missing_at_the_end_is_refused_and_what_is_there_counts(loaded: Bundle) -> None:
    run = Run(loaded)
    for step in range(4):
        command = run.answer(step)
        if command is not None:
            run.episode.executed(run.state(step).stamp_ns, command)
        if step in (1, 3):  # the judgement of step 2 never comes
            run.episode.score(run.state(step).stamp_ns, score(float(step)))
    assert not run.episode.complete
    outcome = run.episode.close()
    assert (run.pairing.accepted, run.pairing.rejected) == (2, 1)
    assert run.adapter.belief.transitions == 2
    assert (outcome.judged, outcome.episode_return) == (2, 4.0)


def test_an_observation_without_a_finite_answer_is_no_step(loaded: Bundle) -> None:
    run = Run(loaded)
    with pytest.raises(NonFiniteError):
        run.episode.answer(run.state(0, np.nan))
    assert run.episode.step == 0


def test_a_held_step_does_not_count_and_steps_go_on_with_the_next_state_that_is_answered(
    loaded: Bundle,
) -> None:
    run = Run(loaded)
    held = run.answer(0)
    run.episode.executed(run.state(0).stamp_ns, held)
    run.episode.interrupt()
    assert run.episode.answer(run.state(0)) is None  # the command of before the hold is not sent again
    # 20 periods later: no deadline was missed, and the grid starts anew.
    for step in (20, 21, 22):
        command = run.answer(step)
        assert run.episode.skipped == 0
        run.episode.score(run.state(step).stamp_ns, score(1.0))
        if command is not None:
            run.episode.executed(run.state(step).stamp_ns, command)
    run.episode.close()
    assert (run.pairing.accepted, run.pairing.rejected) == (2, 1)
    assert run.pairing.refusals[0].detail == "a person or a safety stop interfered during this step"


def test_missed_deadlines_are_told_and_an_unanswered_state_tells_nothing(loaded: Bundle) -> None:
    run = Run(loaded)
    run.answer(0)
    assert run.episode.skipped == 0
    run.episode.answer(run.state(0))
    assert run.episode.skipped is None
    run.answer(3)
    assert run.episode.skipped == 2


@pytest.mark.parametrize(("then", "learnt"), [("kept", [1, 2, 3]), ("ended", [1, 2])])
def test_after_a_missed_deadline_learning_waits_until_one_is_kept_or_the_episode_has_ended(
    loaded: Bundle, then: str, learnt: list[int]
) -> None:
    run = Run(loaded, steps=4 if then == "kept" else 3)
    for step in (0, 1, 2, 4):  # nothing came at 3
        command = run.answer(step)
        if command is not None:
            run.episode.executed(run.state(step).stamp_ns, command)
    if then == "kept":
        assert run.episode.skipped == 1
    for step in (1, 2, 4):
        run.episode.score(run.state(step).stamp_ns, score(1.0))
        run.episode.absorb()
        # Two transitions are complete by now, the third one lasted two periods.
        assert run.beliefs == ([] if then == "kept" else learnt[: min(step, 2)])
    if then == "kept":
        run.answer(5)
        assert run.beliefs == [1, 2]
        run.episode.score(run.state(5).stamp_ns, score(1.0))
        run.episode.absorb()
        assert run.beliefs == learnt
    assert run.episode.complete


def test_another_goal_shows_in_the_next_observation_and_the_step_that_runs_does_not_count(
    tmp_path: Path,
) -> None:
    told = make_random_bundle(tmp_path / "told", "dclaw-turn-dynamics")
    run = Run(told)
    seen: list[np.ndarray] = []
    run.adapter.act = lambda observation: seen.append(observation) or np.zeros(9)  # type: ignore[method-assign]
    run.episode.tell(np.array([0.5]))
    for step in range(4):
        if step == 2:
            run.episode.tell(np.array([1.5]))
        command = run.answer(step)
        if command is not None:
            run.episode.executed(run.state(step).stamp_ns, command)
        run.episode.score(run.state(step).stamp_ns, score(1.0))
    # The valve stands at 0.10, 0.11 and 0.12 rad.
    ways = [0.4, 0.39, 1.38]
    np.testing.assert_allclose([row[-2:] for row in seen], [[np.cos(w), np.sin(w)] for w in ways], atol=1e-12)
    run.episode.close()
    assert (run.pairing.accepted, run.pairing.rejected) == (2, 1)


def test_a_policy_that_does_not_know_its_task_goes_a_share_of_the_way_and_learns_from_what_it_did(
    loaded: Bundle,
) -> None:
    free, careful = Run(loaded), Run(loaded, least_authority=0.25)
    learnt: list[np.ndarray] = []
    observe = careful.adapter.observe

    def spy(transition):  # type: ignore[no-untyped-def]
        learnt.append(transition.action)
        return observe(transition)

    careful.adapter.observe = spy  # type: ignore[method-assign]
    measured = np.full(9, 0.1)
    whole, part = free.answer(0), careful.answer(0)
    assert isinstance(whole, np.ndarray)
    assert isinstance(part, np.ndarray)
    np.testing.assert_allclose(part - measured, 0.25 * (whole - measured), atol=1e-12)
    for run, command in ((free, whole), (careful, part)):
        run.episode.executed(1000 * MS, command)
        run.answer(1)
        run.episode.score(1100 * MS, score(1.0))
        run.episode.absorb()
        assert run.beliefs == [1]
    np.testing.assert_allclose(careful.robot.action.decode(learnt[0], measured), part, atol=1e-12)
    known = 1.0 - float(careful.adapter.belief.std.mean())
    assert 0.0 < known < 1.0
    assert careful.adapter.authority == pytest.approx(0.25 + 0.75 * known)
    assert free.adapter.authority == 1.0


def test_memory_does_not_grow_with_the_length_of_an_episode(loaded: Bundle) -> None:
    run = Run(loaded, steps=1_000_000)
    run.beliefs = deque(maxlen=1)  # type: ignore[assignment]
    taken: list[int] = []
    tracemalloc.start()
    for step in range(3000):
        command = run.answer(step)
        stamp_ns = run.state(step).stamp_ns
        run.episode.score(stamp_ns, score(1.0))
        run.episode.score(stamp_ns + 10**15 + step, score(1.0))  # of no state that there will be
        run.episode.executed(stamp_ns, command)
        run.episode.absorb()
        if step in (999, 2999):
            taken.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert run.adapter.belief.transitions == 2999
    assert taken[1] - taken[0] < 16_384
    assert run.episode.close().episode_return == 2999.0
