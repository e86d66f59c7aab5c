# SPDX-License-Identifier: Apache-2.0
"""The command `pitaya`: loads a subcommand only when it is called, and turns errors into one clear line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import click

from meta_rl_core import __version__
from meta_rl_core.errors import ContractError, PitayaError
from meta_rl_core.registry import EXTRAS, load_registered, registered_names

EXIT_ERROR = 2


def _train() -> click.Command:
    from meta_rl_core.cli.train import train

    return train


def _evaluate() -> click.Command:
    from meta_rl_core.cli.evaluate import evaluate

    return evaluate


def _export() -> click.Command:
    from meta_rl_core.cli.export import export

    return export


def _fit_change() -> click.Command:
    from meta_rl_core.cli.fit_change import fit_change

    return fit_change


def _plot() -> click.Command:
    from meta_rl_core.cli.plot import plot

    return plot


# Name -> (how to load it, what the list of commands says), so that listing imports nothing heavy.
_COMMANDS: dict[str, tuple[Callable[[], click.Command], str]] = {
    "train": (_train, "Meta-train a policy on a task family."),
    "evaluate": (_evaluate, "Let a policy adapt to tasks it has never met, and score it."),
    "export": (_export, "Make a bundle for robots from a training run."),
    "fit-change": (_fit_change, "Teach a policy to tell that its task has changed."),
    "plot": (_plot, "Draw the learning curves of training runs."),
}


class LazyGroup(click.Group):
    """Finds subcommands here and among the entry points `pitaya.commands`, importing none to list them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        del ctx
        return [*_COMMANDS, *(name for name in registered_names("commands") if name not in _COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Loads one command; None if nobody knows it.

        Raises:
            ContractError: If an installed package offers the command but it cannot be loaded.
        """
        if cmd_name in _COMMANDS:
            return _COMMANDS[cmd_name][0]()
        if cmd_name not in self.list_commands(ctx):
            return None
        try:
            command = load_registered("commands", cmd_name)
        except Exception as error:
            raise ContractError(
                f"the command {cmd_name!r} of another package cannot be loaded: {error}"
            ) from error
        if not isinstance(command, click.Command):
            raise ContractError(f"{cmd_name!r} must be a click command, got {type(command).__name__}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command of the first argument; an unknown one names the nearest.

        Raises:
            click.UsageError: If nobody knows it.
        """
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without importing them."""
        rows = [
            (name, _COMMANDS[name][1] if name in _COMMANDS else f"See 'pitaya {name} --help'.")
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; an error made for people becomes one red line and exit status 2."""
        try:
            return super().invoke(ctx)
        except PitayaError as error:
            _fail(ctx, str(error))
        except ModuleNotFoundError as error:
            module = (error.name or "").partition(".")[0]
            if module not in EXTRAS:
                raise
            _fail(
                ctx,
                f"this needs {module}, which is not installed: make setup-dev, or "
                f"pip install -e '.[{EXTRAS[module]}]', both in the checkout",
            )


def _fail(ctx: click.Context, message: str) -> None:
    click.secho(f"error: {' '.join(message.split())}", fg="red", err=True)
    ctx.exit(EXIT_ERROR)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pitaya")
def main() -> None:
    """Pitaya: robots that adapt to tasks they have never met (PEARL on ROS 2)."""


def run(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line with these arguments, by default those of the process."""
    main(args=list(arguments) if arguments is not None else None, prog_name="pitaya")
