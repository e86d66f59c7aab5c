# SPDX-License-Identifier: Apache-2.0
"""The command line starts light, suggests what was meant, and says in one line what went wrong."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import click
import pytest
from click.testing import CliRunner, Result

from meta_rl_core import __version__, registry
from meta_rl_core.cli import main as cli
from meta_rl_core.errors import InvalidValueError

HEAVY = ("torch", "mujoco", "rclpy", "matplotlib", "gymnasium")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, list(arguments), prog_name="pitaya")


def modules_after(code: str) -> set[str]:
    program = f"{code}\nimport sys\nprint('\\nMODULES', *sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    return set(output.split("MODULES", 1)[1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import meta_rl_core.runtime.adapter, meta_rl_core.runtime.pairing, meta_rl_core.runtime.evaluator",
        "import meta_rl_core.runtime.state_file, meta_rl_core.runtime.report",
        "import meta_rl_core.bundle",
        "import meta_rl_core.cli.evaluate, meta_rl_core.cli.export, meta_rl_core.cli.plot",
        "from meta_rl_core.cli.main import main\nmain(['--help'], standalone_mode=False)",
    ],
)
def test_runtime_bundles_and_help_import_nothing_heavy(code: str) -> None:
    assert not modules_after(code) & set(HEAVY)


def test_help_lists_every_command_and_what_it_does() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for name in ("train", "evaluate", "export", "plot"):
        assert name in result.output
        assert call(name, "--help").exit_code == 0
    assert call().output.startswith("Usage: pitaya")


def test_the_version_is_that_of_the_package() -> None:
    assert __version__ in call("--version").output


def test_an_unknown_command_names_the_nearest_or_all() -> None:
    near = call("evalute")
    assert near.exit_code == 2
    assert "there is no command 'evalute'; did you mean 'evaluate'?" in near.output
    assert "known are train, evaluate, export, fit-change, plot" in call("xyzzy").output


def test_an_error_is_one_line_on_stderr_with_status_two(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def broken() -> None:
        raise InvalidValueError("got 3,\nallowed 1 to 2")

    monkeypatch.setitem(cli._COMMANDS, "broken", (lambda: broken, ""))
    result = call("broken")
    assert result.exit_code == 2
    assert result.stderr == "error: got 3, allowed 1 to 2\n"
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("module", "extra"),
    [("torch", "train"), ("mujoco", "sim"), ("matplotlib", "plot"), ("rosbags", "record")],
)
def test_a_missing_optional_package_names_what_to_install_from_the_checkout(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    def load() -> click.Command:
        raise ModuleNotFoundError(f"No module named '{module}.x'", name=f"{module}.x")

    monkeypatch.setitem(cli._COMMANDS, "heavy", (load, ""))
    result = call("heavy")
    assert result.exit_code == 2
    assert "make setup-dev, or " in result.stderr
    assert f"pip install -e '.[{extra}]', both in the checkout" in result.stderr


def test_a_mistake_in_the_code_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> click.Command:
        raise ModuleNotFoundError("No module named 'meta_rl_core.nowhere'", name="meta_rl_core.nowhere")

    monkeypatch.setitem(cli._COMMANDS, "wrong", (load, ""))
    assert isinstance(call("wrong").exception, ModuleNotFoundError)


@click.command()
def hello() -> None:
    """Greets."""
    click.echo("hello from elsewhere")


def offer(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Announces one command of another package."""
    entry = EntryPoint("hello", value, "pitaya.commands")
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry] if group == "pitaya.commands" else [])


def test_commands_of_other_packages_are_listed_and_run(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, f"{__name__}:hello")
    assert "hello" in call("--help").output
    assert call("hello").output == "hello from elsewhere\n"


@pytest.mark.parametrize("value", ["nowhere.at_all:hello", "os:nothing"])
def test_a_command_that_cannot_be_loaded_is_listed_but_says_why_it_cannot_run(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    offer(monkeypatch, value)
    assert "hello" in call("--help").output
    result = call("hello")
    assert result.exit_code == 2
    assert "'hello' of another package cannot be loaded" in result.stderr


def test_what_is_no_command_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "os:sep")
    result = call("hello")
    assert result.exit_code == 2
    assert "must be a click command, got str" in result.stderr
