"""How the command line speaks: `talk` to people on stderr, `data` on stdout, JSON for machines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from hanok.spec import Loaded

talk = Console(stderr=True, emoji=False)
data = Console(emoji=False)

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


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
