"""How the command line speaks: `talk` to people on stderr, `data` on stdout, JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from hanok.spec import Loaded

talk = Console(stderr=True, emoji=False)
data = Console(emoji=False)
for _each in (talk, data):
    if not _each.file.isatty():  # a pipe or a file has no edge: nothing that is read there is folded or cut
        _each.width = 10_000

DEFAULT_FILE = Path("platform.yaml")
FileArgument = Annotated[Path | None, typer.Argument(help="The platform file; by default `platform.yaml` here.")]
FileOption = Annotated[
    Path | None, typer.Option("--file", "-f", help="The platform file; by default `platform.yaml` here.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def load_to_ask(file: Path | None) -> Loaded:
    """A platform for a command that asks the running server or reads the ledger: variables may be set only there.

    What a command needs of them after all, `Loaded.require` tells. Raises `SpecError`.
    """
    from hanok.spec import load

    loaded = load(file or DEFAULT_FILE, lenient=True)
    loaded.require("state")
    return loaded


def new_table(*titles: str, kept: Collection[str] = (), numbers: Collection[str] = ()) -> Table:
    """A table that folds where the terminal is narrow and cuts nothing; what is `kept` in one line is to be copied."""
    table = Table(box=None, show_header=bool(titles))
    for title in titles:
        justify = "right" if title in numbers else "left"
        table.add_column(title, overflow="fold", no_wrap=title in kept, justify=justify)
    return table


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
