"""How the command line speaks: `talk` to people on stderr, `data` on stdout, JSON for machines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

talk = Console(stderr=True, emoji=False)
data = Console(emoji=False)

DEFAULT_FILE = Path("platform.yaml")
FileArgument = Annotated[Path | None, typer.Argument(help="The platform file; by default `platform.yaml` here.")]
FileOption = Annotated[
    Path | None, typer.Option("--file", "-f", help="The platform file; by default `platform.yaml` here.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
