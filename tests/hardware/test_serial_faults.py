# SPDX-License-Identifier: Apache-2.0
"""Damaged answers never become a value; the long form is `python -m benchmarks.serial_faults --frames 1000000`."""

from benchmarks.serial_faults import KINDS, count_wrong_values


def test_no_damaged_answer_becomes_a_wrong_value() -> None:
    frames = 700
    found = count_wrong_values(frames * len(KINDS))
    assert found["wrong"] == 0
    assert sum(found.values()) == frames * len(KINDS)
    # Rubbish in front of a whole packet is skipped: those answers, and only they, may be taken.
    assert found["right"] <= frames * 1.2
