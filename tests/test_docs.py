# SPDX-License-Identifier: Apache-2.0
"""The documentation names files, commands, options and fields that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from meta_rl_core.cli.main import main
from meta_rl_core.registry import registered_names

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
POLICIES = ROOT / "policies" / "dclaw-turn" / "manifest.json"
# Pictures and figures come with the policies that earn them.
with_policies = pytest.mark.skipif(not POLICIES.exists(), reason="no trained policy in policies/ yet")

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_MAKE = re.compile(r"\bmake ((?:[A-Z_]+=\S+ )*)([a-z][\w-]*)")
_PITAYA = re.compile(r"(?:\./|\b)pitaya ((?:[a-z]\w*)\b[^`#|\n]*)")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def code_of(page: Path) -> list[str]:
    """Lines of code blocks, indented or fenced, continuation lines joined, and inline code."""
    text = text_of(page).replace("\\\n", " ")
    blocks = [line for block in _FENCE.findall(text) for line in block.splitlines()[1:-1]]
    rest = _FENCE.sub("", text)
    blocks += [line.strip() for line in rest.splitlines() if line.startswith("    ")]
    return blocks + re.findall(r"`([^`]+)`", rest)


def links_of(page: Path) -> list[str]:
    found = _LINK.findall(_FENCE.sub("", text_of(page)))
    return [link for link in found if "://" not in link and not link.startswith("mailto:")]


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def broken_links(page: Path, links: list[str]) -> list[str]:
    broken = []
    for link in links:
        name, _, fragment = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        headings = (
            {anchor(item) for item in _HEADING.findall(text_of(target))} if target.suffix == ".md" else set()
        )
        if not target.exists() or (fragment and fragment not in headings):
            broken.append(link)
    return broken


def is_picture(link: str) -> bool:
    return link.endswith((".png", ".svg"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert not broken_links(page, [link for link in links_of(page) if not is_picture(link)])


@with_policies
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_picture_is_there_and_no_figure_is_left_open(page: Path) -> None:
    assert not broken_links(page, [link for link in links_of(page) if is_picture(link)])
    assert not re.findall(r"RESULT_\w+|TODO\S*", text_of(page))


def make_words() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_word_exists(page: Path) -> None:
    words = {match[1] for code in code_of(page) for match in _MAKE.findall(code)}
    assert words <= make_words()


def command_lines(page: Path) -> list[list[str]]:
    """Words after `pitaya` of every command in a page's code."""
    matches = (match for code in code_of(page) for match in _PITAYA.findall(code))
    return [shlex.split(match.replace("...", "").split(" && ")[0]) for match in matches]


def complaints(words: list[str]) -> list[str]:
    context = click.Context(main)
    command = main.get_command(context, words[0])
    if command is None:
        return [f"no command {words[0]}"]
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    unknown = [word for word in words[1:] if word.startswith("--") and word.partition("=")[0] not in known]
    return [f"pitaya {words[0]} has no option {word}" for word in unknown]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_pitaya_command_and_option_exists(page: Path) -> None:
    assert not [complaint for words in command_lines(page) for complaint in complaints(words)]


def test_the_check_of_commands_sees_what_is_wrong() -> None:
    assert complaints(["trian", "dclaw-turn"]) == ["no command trian"]
    assert complaints(["train", "dclaw-turn", "--sed", "1"]) == ["pitaya train has no option --sed"]
    assert not complaints(["train", "dclaw-turn", "--seed", "1"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_bring_up_argument_exists(page: Path) -> None:
    for line in [code for code in code_of(page) if re.search(r"pitaya up|ros2 launch", code)]:
        scenario = re.search(r"(?:up|bringup) (\w+?)(?:\.launch\.py)?(?:\s|$)", line)
        file = ROOT / "config" / "bringup" / f"{scenario[1] if scenario else 'dclaw_sim'}.yaml"
        known = set(yaml.safe_load(file.read_text(encoding="utf-8"))["arguments"])
        assert set(re.findall(r"\b(\w+):=", line)) <= known, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_goal_that_is_sent_has_the_fields_of_the_action(page: Path) -> None:
    goal = (ROOT / "ros_ws/src/pitaya_msgs/action/Adapt.action").read_text(encoding="utf-8").split("---")[0]
    fields = set(re.findall(r"^\w+ (\w+)$", goal, re.MULTILINE))
    for code in code_of(page):
        for sent in re.findall(r"action/Adapt\s+\"(\{.*?\})\"", code):
            assert set(yaml.safe_load(sent)) <= fields


def test_every_registered_family_is_described() -> None:
    text = text_of(ROOT / "docs" / "training.md")
    assert not [name for name in registered_names("families") if f"`{name}`" not in text]


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page.suffix == ".md" and page.exists() and page not in seen:
            seen.add(page)
            ahead += [
                (page.parent / link.partition("#")[0]).resolve() for link in links_of(page) if link[0] != "#"
            ]
    assert set(PAGES) <= seen
