"""Versions of prompts and their labels, in SQLite in the state folder, for all processes of the folder."""

from __future__ import annotations

import difflib
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from hanok.errors import AgentError
from hanok.ledger.stores.kept import KeptFile

FILE = "prompts.db"
LATEST = "latest"
SHOWN = 12
"""Hexadecimal digits of a hash that people are shown."""
_LEAST = 4
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LIKE_A_HASH = re.compile(r"[0-9a-f]{4,64}")
_SCHEMA = (
    "CREATE TABLE versions (seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, hash TEXT NOT NULL,"
    " text TEXT NOT NULL, first_at REAL NOT NULL, UNIQUE (name, hash))",
    "CREATE TABLE labels (name TEXT NOT NULL, label TEXT NOT NULL, hash TEXT NOT NULL, moved_at REAL NOT NULL,"
    " PRIMARY KEY (name, label))",
)


@dataclass(frozen=True, kw_only=True)
class Version:
    """A text that a prompt has or had. `hash` is the SHA-256 of its UTF-8, `first_at` Unix seconds."""

    name: str
    hash: str
    text: str
    first_at: float
    labels: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """What names this version and no other."""
        return f"{self.name}@{self.hash[:SHOWN]}"


def hash_of(text: str) -> str:
    """What a text is known by: the SHA-256 of its UTF-8, in hexadecimal."""
    return sha256(text.encode()).hexdigest()


class Prompts(KeptFile):
    """Safe to use from several threads and processes; each method is one transaction. All raise `StoreError`.

    References are `name`, `name@label` and `name@hash` (at least four digits of one).
    """

    def __init__(self, state: Path) -> None:
        super().__init__(state / FILE, schema=_SCHEMA, version=1)

    def record(self, declared: Mapping[str, str], *, now: float, moving: bool = True) -> dict[str, Version]:
        """Keep these texts as versions of their prompts, and move `latest` to them; the versions by name.

        A text that was there before is the version that it was. `moving=False` leaves `latest` where it is.
        """
        with self._writing() as connection:
            for name, text in declared.items():
                _add(connection, name, text, now)
                if moving:
                    _move(connection, name, LATEST, hash_of(text), now)
        return {name: self.resolve(f"{name}@{hash_of(text)}") for name, text in declared.items()}

    def resolve(self, ref: str) -> Version:
        """The version that is meant. Raises `AgentError` where there is none, or several begin so."""
        name, _, which = ref.partition("@")
        versions = self.versions(name)
        if not versions:
            raise self._no_prompt(name)
        return _chosen(name, which or LATEST, versions)

    def names(self) -> list[str]:
        """Every prompt that was ever declared."""
        return [name for (name,) in self._ask("SELECT DISTINCT name FROM versions ORDER BY name")] if self.exist else []

    def versions(self, name: str) -> list[Version]:
        """A prompt's, the one that came last first."""
        if not self.exist:
            return []
        labels: dict[str, tuple[str, ...]] = {}
        for label, hash_ in self._ask("SELECT label, hash FROM labels WHERE name = ? ORDER BY label", (name,)):
            labels[hash_] = (*labels.get(hash_, ()), label)
        rows = self._ask("SELECT hash, text, first_at FROM versions WHERE name = ? ORDER BY seq DESC", (name,))
        return [Version(name=name, hash=h, text=text, first_at=at, labels=labels.get(h, ())) for h, text, at in rows]

    def label(self, ref: str, label: str, *, now: float) -> Version:
        """Move a label to a version, which is given back with it. Raises `AgentError` for one that cannot be."""
        _require_label(label)
        version = self.resolve(ref)
        with self._writing() as connection:
            _move(connection, version.name, label, version.hash, now)
        return self.resolve(f"{version.name}@{version.hash}")

    def unlabel(self, name: str, label: str) -> None:
        """Take a label away. Raises `AgentError` where it is not there."""
        _require_label(label)
        with self._writing() as connection:
            asked = "DELETE FROM labels WHERE name = ? AND label = ?"
            gone = connection.execute(asked, (name, label)).rowcount
        if not gone:
            raise AgentError(f"no version of {name!r} is called {label!r}", hint=f"see `hanok prompts show {name}`")

    def _no_prompt(self, name: str) -> AgentError:
        names = self.names()
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"recorded here: {', '.join(names) or 'none'}"
        return AgentError(f"no prompt called {name!r} is recorded", hint=hint)


def _add(connection: sqlite3.Connection, name: str, text: str, now: float) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO versions (name, hash, text, first_at) VALUES (?, ?, ?, ?)",
        (name, hash_of(text), text, now),
    )


def _move(connection: sqlite3.Connection, name: str, label: str, hash_: str, now: float) -> None:
    connection.execute(
        "INSERT INTO labels (name, label, hash, moved_at) VALUES (?, ?, ?, ?) ON CONFLICT (name, label)"
        " DO UPDATE SET hash = excluded.hash, moved_at = excluded.moved_at WHERE hash != excluded.hash",
        (name, label, hash_, now),
    )


def _chosen(name: str, which: str, versions: list[Version]) -> Version:
    found = [version for version in versions if which in version.labels]
    if not found and len(which) >= _LEAST:
        found = [version for version in versions if version.hash.startswith(which.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        refs = ", ".join(version.hash[:SHOWN] for version in found[:5])
        raise AgentError(f"several versions of {name!r} begin with {which!r}", hint=f"write more of one: {refs}")
    labels = sorted({label for version in versions for label in version.labels})
    if which == LATEST:
        raise AgentError(
            f"no version of {name!r} is in use yet", hint="`hanok up` takes up what platform.yaml declares"
        )
    hint = f"it has {', '.join(labels) or 'no labels'}; set one with `hanok prompts label {name} {which}`"
    if _LIKE_A_HASH.fullmatch(which):  # no label may look so: it cannot be set
        hint = f"`hanok prompts show {name}` lists the versions that there are"
    raise AgentError(f"no version of {name!r} is called {which!r}", hint=hint)


def _require_label(label: str) -> None:
    if label == LATEST:
        raise AgentError("`latest` moves by itself, to what platform.yaml declares", hint="use another label")
    if not _LABEL.fullmatch(label) or _LIKE_A_HASH.fullmatch(label):
        hint = "letters, digits and . _ - (at most 64), and not what the hash of a version may look like"
        raise AgentError(f"{label!r} cannot be a label", hint=hint)
