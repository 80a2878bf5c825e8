"""What is told of a cluster's manifests, and the platform as it grows out of them.

Every reader of one kind of thing is handed the same `Told` and `Draft`; whoever reads further looks into the draft.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hanok.migration.names import as_name
from hanok.migration.notes import Kind, Note
from hanok.preflight import Manifest
from hanok.preflight.findings import dotted
from hanok.preflight.manifests import Body, Step

_NOT_IN_WORDS = re.compile(r"[^A-Za-z0-9_-]+")
Path = tuple[Step, ...]
Block = dict[str, Any]


class Told:
    """The notes so far, each thing once, and the manifests that some reader took in."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self._seen: set[Note] = set()
        self._taken: set[int] = set()

    def take(self, manifest: Manifest) -> None:
        """Something of this manifest becomes part of the platform."""
        self._taken.add(id(manifest))

    def has_taken(self, manifest: Manifest | None) -> bool:
        return id(manifest) in self._taken

    def carried(self, manifest: Manifest, path: Path, to: str, message: str = "") -> None:
        self._note("carried", manifest, path, message, to)

    def changed(self, manifest: Manifest, path: Path, message: str, to: str | None = None) -> None:
        self._note("changed", manifest, path, message, to)

    def left(self, manifest: Manifest, path: Path, message: str) -> None:
        self._note("left", manifest, path, message, None)

    def wrong(self, manifest: Manifest, path: Path, message: str, to: str | None = None) -> None:
        self._note("wrong", manifest, path, message, to)

    def in_code(self, kind: Kind, file: str, line: int, path: str, message: str, to: str | None = None) -> None:
        """A note on a line of code in an article."""
        self.add(Note(kind=kind, file=file, line=line, column=1, path=path, message=message, to=to))

    def leave_rest(
        self, manifest: Manifest, path: Path, body: Body, reasons: Mapping[str, str], known: str = ""
    ) -> None:
        """Tell every key of a mapping that no reader knows (`known` are those that one does), and why it stays."""
        for key in body:
            if key not in known.split() and body[key] is not None:
                self.left(manifest, (*path, key), reasons.get(key, "Hanok has nothing like it"))

    def add(self, note: Note) -> None:
        if note not in self._seen:
            self._seen.add(note)
            self.notes.append(note)

    def _note(self, kind: Kind, manifest: Manifest, path: Path, message: str, to: str | None) -> None:
        title = manifest.title if manifest.kind else ""
        place = " ".join(part for part in (title, dotted(path)) if part)
        line = manifest.line(*path)
        self.add(Note(kind=kind, file=manifest.file, line=line, column=1, path=place, message=message, to=to))


@dataclass
class Draft:
    """The platform so far. Blocks with names are kept by their names."""

    models: dict[str, Block] = field(default_factory=dict[str, Block])
    tools: dict[str, Block] = field(default_factory=dict[str, Block])
    agents: dict[str, Block] = field(default_factory=dict[str, Block])
    knowledge: dict[str, Block] = field(default_factory=dict[str, Block])
    rest: dict[str, Any] = field(default_factory=dict[str, Any])
    """Blocks that stand once, as `ledger`."""
    origins: dict[tuple[str, str], tuple[Manifest, Path]] = field(
        default_factory=dict[tuple[str, str], tuple[Manifest, Path]]
    )
    """Where a named block comes from, by the key of its list and its name."""

    def platform(self) -> Block:
        """The blocks in the order in which people look for them."""
        named = {key: list(self.named(key).values()) for key in ("models", "knowledge", "tools", "agents")}
        first = ("name", "state", "gateway", "ledger", "telemetry", "cache")
        blocks = {key: self.rest.get(key) for key in first} | {"models": named.pop("models")}
        blocks |= {"milvus": self.rest.get("milvus")} | named
        blocks |= {key: value for key, value in self.rest.items() if key not in blocks}
        return {key: value for key, value in blocks.items() if value}

    def named(self, key: str) -> dict[str, Block]:
        """The blocks of `models`, `tools`, `agents` or `knowledge`."""
        return {"models": self.models, "tools": self.tools, "agents": self.agents, "knowledge": self.knowledge}[key]

    def add(self, key: str, block: Block, manifest: Manifest, path: Path) -> str:
        """Add a block; its name in the draft, which differs where another has it already."""
        named = self.named(key)
        name = free_name(str(block["name"]), named)
        named[name] = {**block, "name": name}
        self.origins[(key, name)] = (manifest, path)
        return name


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """The name, numbered where it is taken."""
    kept = set(taken)
    name, number = wanted, 2
    while name in kept:
        name, number = f"{wanted[:60]}-{number}", number + 1
    return name


def as_model(text: str) -> str:
    """A text as the name of a model."""
    return as_name(text, "model")


def as_word(text: str, otherwise: str) -> str:
    """A text as the name of an agent, a knowledge base or a variable: letters, digits, `_` and `-`, 64 at most."""
    return _NOT_IN_WORDS.sub("-", text).strip("-_")[:64].rstrip("-_") or otherwise


def as_tool(text: str, otherwise: str = "tool") -> str:
    """A text as the name of a tool, which begins with a letter."""
    name = as_word(text, otherwise)
    return name if not name[0].isdigit() else f"_{name}"[:64]
