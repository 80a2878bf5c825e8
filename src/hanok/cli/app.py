"""The tree of commands. A command is imported when it is asked for, and imports what it needs when it runs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from hanok import __version__
from hanok.cli.terminal import talk
from hanok.errors import HanokError, PlanError, PreflightError, SpecError

EXIT_FAILED, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 1, 2, 130

COMMANDS: Mapping[str, str] = {
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
    "cache": "cache:cache",
    "tiers": "tiers:tiers",
    "import": "migrate:imports",
    "usage": "books:usage",
    "budgets": "books:budgets",
    "audit": "books:audit",
    "plan": "plan:plan",
    "catalog": "catalog:catalog",
    "gpu": "gpu:gpu",
    "preflight": "preflight:preflight",
    "rules": "preflight:rules",
    "certificate": "certificate:certificate",
    "schema": "look:schema",
    "doctor": "look:doctor",
}
"""Commands in the order of the help, and where each stands: a module of this room, and a name in it."""


class _Commands(MutableMapping[str, Any]):
    """Commands by name, each made when it is first asked for: most need no server, and should not load one."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _make(name, COMMANDS[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _make(name: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    found = getattr(import_module(f"hanok.cli.{module}"), attribute)
    alone = typer.Typer(rich_markup_mode="markdown")
    alone.callback()(lambda: None)
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
    else:
        alone.command(name)(found)
    return typer.main.get_group(alone).commands[name]


class _Tree(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()


app = typer.Typer(
    cls=_Tree,
    name="hanok",
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
    with saying_what_went_wrong():
        app()


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
