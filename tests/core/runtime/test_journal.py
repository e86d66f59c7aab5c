# SPDX-License-Identifier: Apache-2.0
"""The journal gives back to the bit what was committed, whatever ends the process or fails on the disk."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from meta_rl_core.errors import JournalError
from meta_rl_core.runtime.admission import Refusal, Refused
from meta_rl_core.runtime.journal_rows import Record
from tests.helpers.journals import GOAL, OWNER, PATIENCE_S, bits, bits_of, keep, open_one, records


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "j.sqlite")) as database:
        return list(database.execute(query))


def test_an_interrupted_session_comes_back_to_the_bit(tmp_path: Path) -> None:
    last = keep(tmp_path, 37)[-1]
    journal, restored = open_one(tmp_path)
    journal.close(None)
    assert restored is not None
    assert bits(restored) == bits_of(last.state)
    assert (restored.transitions, restored.episode, restored.stamp_ns) == (37, 0, 1_000_000_000 + 36 * 10**8)
    assert not restored.ended


def test_numbers_at_the_edge_of_float64_come_back_to_the_bit(tmp_path: Path) -> None:
    record = next(records())
    belief = record.state.belief
    extreme = np.array([5e-324, 1.7e308, 0.1, 2.0**-1074, np.nextafter(1.0, 2.0)])
    state = replace(
        record.state, belief=replace(belief, evidence_precision=extreme, evidence_precision_mean=-extreme)
    )
    journal, _ = open_one(tmp_path)
    journal.begin(GOAL)
    journal.note(record._replace(state=state))
    assert journal.close(None, timeout_s=PATIENCE_S)
    journal, restored = open_one(tmp_path)
    journal.close(None)
    assert restored is not None
    assert bits(restored) == bits_of(state)


def test_a_session_that_was_closed_is_not_restored(tmp_path: Path) -> None:
    keep(tmp_path, 5, how="closed")
    journal, restored = open_one(tmp_path)
    journal.close("closed")
    assert restored is None


def test_a_goal_that_began_is_what_comes_back_although_it_has_learnt_nothing_yet(tmp_path: Path) -> None:
    journal, _ = open_one(tmp_path)
    journal.begin(GOAL)
    kept = list(islice(records(), 9))
    for record in kept:
        journal.note(record)
    journal.end("3 episodes")
    journal.begin(GOAL)
    fresh = replace(kept[0].state, belief=type(kept[0].state.belief).prior(5), z=None, episodes_begun=0)
    journal.note(Record("begin", -1, 0, 0, fresh))
    assert journal.close(None, timeout_s=PATIENCE_S)
    journal, restored = open_one(tmp_path)
    journal.close("closed")
    assert restored is not None
    assert (restored.transitions, restored.episode, restored.state["z"]) == (0, -1, None)


def test_what_came_back_comes_back_again_after_a_second_crash(tmp_path: Path) -> None:
    last = keep(tmp_path, 6)[-1]
    for session in (1, 2, 3):
        journal, restored = open_one(tmp_path)
        assert restored is not None
        assert (restored.session, restored.ended, bits(restored)) == (session, False, bits_of(last.state))
        journal.begin(GOAL)  # the first thing that is written takes over what came back
        journal.close(None, timeout_s=PATIENCE_S)
    assert [ended for (ended,) in rows(tmp_path, "SELECT ended FROM session ORDER BY session")] == [
        "continued as session 2",
        "continued as session 3",
        "continued as session 4",
        None,
    ]


def test_a_session_given_up_is_never_restored(tmp_path: Path) -> None:
    keep(tmp_path, 6)
    journal, restored = open_one(tmp_path, restore=False)
    assert restored is None
    journal.note(next(records())._replace(event="reset"))
    assert journal.close("closed", timeout_s=PATIENCE_S)
    journal, restored = open_one(tmp_path)
    journal.close("closed")
    assert restored is None


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        (
            OWNER._replace(bundle_hash="b" * 64),
            "interrupted adaptation of 6 transitions on the policy with bundle",
        ),
        (OWNER._replace(hardware="right hand"), "on the hardware 'left hand', this is 'right hand'"),
    ],
)
def test_a_belief_of_another_policy_or_robot_is_refused_and_stays(
    tmp_path: Path, owner: object, said: str
) -> None:
    last = keep(tmp_path, 6)[-1]
    with pytest.raises(JournalError, match=said):
        open_one(tmp_path, owner)  # type: ignore[arg-type]
    journal, restored = open_one(tmp_path)
    journal.close(None)
    assert restored is not None
    assert bits(restored) == bits_of(last.state)


def test_two_processes_cannot_write_one_journal(tmp_path: Path) -> None:
    journal, _ = open_one(tmp_path)
    with pytest.raises(JournalError, match="another process writes it"):
        open_one(tmp_path)
    journal.close("closed")
    open_one(tmp_path)[0].close("closed")


def test_goals_transitions_and_refusals_can_be_read_with_sqlite(tmp_path: Path) -> None:
    journal, _ = open_one(tmp_path)
    journal.begin(GOAL)
    record = next(records())
    journal.note(record)
    journal.refuse(Refused(0, 1, Refusal.IRREGULAR, "the step lasted 0.3 s"))
    journal.end("1 episodes")
    journal.close("closed", timeout_s=PATIENCE_S)
    assert rows(tmp_path, "SELECT seed, sampling, episodes, reset_belief, outcome FROM adaptation") == [
        (3, "sample", 3, 1, "1 episodes")
    ]
    assert rows(tmp_path, "SELECT adaptation, episode, step, reason, detail FROM refusal") == [
        (1, 0, 1, "irregular", "the step lasted 0.3 s")
    ]
    ((observation, action, reward),) = rows(tmp_path, "SELECT observation, action, reward FROM record")
    assert record.transition is not None
    assert observation == record.transition.observation.tobytes()
    assert action == record.transition.action.tobytes()
    assert reward == record.transition.reward


def test_the_last_transitions_come_back_too_with_the_states_that_they_led_to(tmp_path: Path) -> None:
    kept = keep(tmp_path, 30)
    journal, restored = open_one(tmp_path)
    journal.close(None)
    assert restored is not None
    # Twice a proof of eight steps and one more, and the state before them.
    assert [state.stamp_ns for state in restored.earlier] == [record.stamp_ns for record in kept[-18:]]
    for state, record in zip(restored.earlier, kept[-18:], strict=True):
        assert state.item is not None
        assert record.transition is not None
        assert (state.item.episode, state.item.step) == (0, record.step)
        for one, other in zip(state.item.transition, record.transition, strict=True):
            np.testing.assert_array_equal(one, other)
        assert bits(replace(restored, state=state.state)) == bits_of(record.state)


def test_no_transition_comes_back_from_before_a_belief_that_was_put_in_place(tmp_path: Path) -> None:
    journal, _ = open_one(tmp_path)
    journal.begin(GOAL)
    events = ("transition", "transition", "change", "transition", "episode", "transition")
    for event, record in zip(events, records(), strict=False):
        lived = event == "transition"
        journal.note(record._replace(event=event, transition=record.transition if lived else None))
    assert journal.close(None, timeout_s=PATIENCE_S)
    journal, restored = open_one(tmp_path)
    journal.close(None)
    assert restored is not None
    assert [state.item and state.item.step for state in restored.earlier] == [None, 3, 5]


def test_a_damaged_latest_record_gives_the_one_before_and_says_so(tmp_path: Path) -> None:
    kept = keep(tmp_path, 6)
    with closing(sqlite3.connect(tmp_path / "j.sqlite")) as database:
        database.execute("UPDATE record SET transitions = 7 WHERE record = 6")
        database.commit()
    journal, restored = open_one(tmp_path)
    journal.close(None)
    assert restored is not None
    assert bits(restored) == bits_of(kept[4].state)
    assert restored.skipped == 1


def test_any_damage_is_refused_or_gives_a_state_that_was_committed(tmp_path: Path) -> None:
    kept = keep(tmp_path, 4)
    sound = {bits_of(record.state) for record in kept}
    path = tmp_path / "j.sqlite"
    data = path.read_bytes()
    generator = np.random.default_rng(0)
    damaged = [data[:length] for length in generator.choice(len(data), size=25, replace=False)]
    for bit in generator.choice(8 * len(data), size=75, replace=False):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        damaged.append(bytes(flipped))
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            journal, restored = open_one(tmp_path)
        except JournalError:
            refused += 1
            continue
        journal.close(None)
        for name in tmp_path.glob("j.sqlite-*"):
            name.unlink()
        assert restored is None or bits(restored) in sound
    assert refused > 12


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "text", "foreign", "trigger", "newer"])
def test_what_is_no_journal_is_refused(tmp_path: Path, kind: str) -> None:
    path, canary = tmp_path / "j.sqlite", tmp_path / "canary"
    if kind == "link":
        keep(tmp_path, 2)
        path.rename(tmp_path / "real.sqlite")
        path.symlink_to(tmp_path / "real.sqlite")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "text":
        path.write_text("a journal" * 1000)
    else:
        statement = {
            "foreign": "CREATE TABLE a (b)",
            "trigger": "CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM record; END",
            "newer": "PRAGMA user_version = 2",
        }[kind]
        if kind != "foreign":
            keep(tmp_path, 2)
        with closing(sqlite3.connect(path)) as database:
            database.execute(statement)
            database.commit()
    with pytest.raises(JournalError, match="refused"):
        open_one(tmp_path)
    assert not canary.exists()
