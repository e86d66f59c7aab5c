# SPDX-License-Identifier: Apache-2.0
"""What a terminal shows of an adaptation."""

import io

from pitaya_msgs.action import Adapt
from pitaya_msgs.msg import TaskBelief
from rich.console import Console

from pitaya_nodes.report import EpisodeTable


def feedback(episode: int, success: bool) -> Adapt.Feedback:
    belief = TaskBelief(mean=[0.5, -1.25], std=[0.125, 0.5], transitions=40, kl_to_prior=3.14)
    return Adapt.Feedback(
        episode=episode, episode_return=-12.34, final_error=0.0567, success=success, belief=belief
    )


def show(width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    table = EpisodeTable(console, "rad", exploration_episodes=1)
    table.add(feedback(0, False))
    table.add(feedback(1, True))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_each_episode_is_one_line_under_one_head_in_a_wide_terminal() -> None:
    head, rule, first, second = show(130)
    assert head.split()[:3] == ["episode", "z", "from"]
    assert set(rule) == {"─"}
    assert first.split() == [
        "1", "prior", "-12.3", "0.057", "rad", "not", "yet", "40", "3.1", "+0.50±0.125", "-1.25±0.500",
    ]  # fmt: skip
    assert second.split()[:2] == ["2", "belief"]
    assert "solved" in second
    assert head.index("belief:") == first.index("+0.50")


def test_a_narrow_terminal_gets_the_belief_on_a_line_of_its_own() -> None:
    lines = show(80)
    assert max(len(line) for line in lines) <= 80
    assert lines[4].strip() == "+0.50±0.125  -1.25±0.500"
