"""`hanok knowledge`: documents to ask."""

from __future__ import annotations

import typer

from hanok.cli.knowledge_ask import search

knowledge = typer.Typer(help="Find passages in documents.", no_args_is_help=True)
knowledge.command("search")(search)
