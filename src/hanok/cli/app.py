"""The tree of commands. A command's module is imported when the command is asked for, so that each begins quickly."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Generator, Iterator, MutableMapping
from importlib import import_module
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from hanok import __version__
from hanok.cli.terminal import talk
from hanok.errors import HanokError, PlanError, PreflightError, SpecError

COMMANDS = {
    "init": "create:init",
    "up": "up:up",
    "check": "look:check",
    "ask": "ask:ask",
    "chat": "ask:chat",
    "models": "look:models",
    "fleet": "fleet:fleet",
    "keys": "keys:keys",
    "batches": "batches:batches",
    "files": "batches:files",
    "knowledge": "knowledge:knowledge",
    "agents": "agents:agents",
    "prompts": "prompts:prompts",
    "cache": "cache:cache",
    "tiers": "tiers:tiers",
    "import": "migrate:imports",
    "usage": "books:usage",
    "budgets": "books:budgets",
    "audit": "books:audit",
    "plan": "plan:plan",
    "simulate": "simulate:simulate",
    "catalog": "catalog:catalog",
    "gpu": "gpu:gpu",
    "preflight": "preflight:preflight",
    "rules": "rules:rules",
    "render": "render:render",
    "certificate": "certificate:certificate",
    "schema": "look:schema",
    "doctor": "look:doctor",
}
"""Names to modules of `hanok.cli` and what in them is the command, or the group of commands."""
BRIEF = {"check", "models", "plan", "render", "rules", "schema"}
"""Commands that end before looking for garbage is worth its time."""
EXIT_FAILED, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 1, 2, 130


class _Commands(MutableMapping[str, Any]):
    """The commands by name, each made when it is looked at."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _command(name, *COMMANDS[name].split(":"))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]


def _command(name: str, module: str, member: str) -> Any:
    found = getattr(import_module(f"hanok.cli.{module}"), member)
    if isinstance(found, typer.Typer):
        command: Any = typer.main.get_group(found)
    else:
        single = typer.Typer(rich_markup_mode="markdown", add_completion=False)
        single.command(name)(found)
        command = typer.main.get_command(single)
    command.name = name
    return command


class _Group(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, left = super().resolve_command(ctx, args)
        if name not in BRIEF:
            gc.freeze()
            gc.enable()
        return name, command, left


app = typer.Typer(
    name="hanok",
    cls=_Group,
    help="An agentic AI platform in one package, declared in one file. Begin with `hanok up`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        print(f"hanok {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; turn what went wrong into one message and an exit code."""
    gc.disable()  # what is imported stays: looking for garbage in it takes a tenth of a start
    try:
        with saying_what_went_wrong():
            app()
    finally:
        if not gc.isenabled():
            gc.freeze()  # nor is it worth a look at the end
            gc.enable()


@contextlib.contextmanager
def saying_what_went_wrong() -> Generator[None]:
    """End the process with one message and an exit code when something goes wrong."""
    try:
        yield
    except HanokError as error:
        talk.print(Text.assemble(("error:", "bold red"), " ", error.message), soft_wrap=True)
        if error.hint:
            talk.print(Text.assemble(("hint:", "cyan"), " ", error.hint), soft_wrap=True)
        sys.exit(EXIT_WRONG_INPUT if isinstance(error, SpecError | PlanError | PreflightError) else EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
