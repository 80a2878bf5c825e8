"""What is told of a migration: one note for each thing of the source, with its place there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["carried", "changed", "left", "wrong"]


@dataclass(frozen=True, kw_only=True)
class Note:
    """One thing of the source.

    `kind` is `carried` (it means the same in Hanok), `changed` (it is there, but differs as `message` says), `left`
    (it is not carried over) or `wrong` (a mistake of the source). `line` and `column` count from 1, 0 is the whole
    file; `to` is the path in platform.yaml, `about` the model that it belongs to.
    """

    kind: Kind
    file: str
    line: int
    column: int
    path: str
    message: str = ""
    to: str | None = None
    about: str | None = None

    @property
    def place(self) -> str:
        """As `config.yaml:14 model_list[0].litellm_params.rpm`."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place} {self.path}" if self.path else place


@dataclass(frozen=True, kw_only=True)
class Variable:
    """An environment variable that the new file names.

    `stand_in` is a value of the right form, for checking the file where the variable is not set; `holds` says what to
    set it to when the source held the value itself. The file starts without it when there is a `default`.
    """

    name: str
    stand_in: str
    holds: str | None = None
    default: str | None = None


def in_order(notes: Sequence[Note]) -> list[Note]:
    """As they stand in the source."""
    return sorted(notes, key=lambda note: (note.line, note.column))


@dataclass(frozen=True, kw_only=True)
class Alike:
    """Notes of which one kind of object and one reason is told; `what` is empty where no object is named."""

    what: str
    reason: str
    notes: Sequence[Note]

    def examples(self, count: int) -> str:
        """Names of the first of them, as `ai/vllm, ai/other, … (31)`."""
        names = list(dict.fromkeys(_name(each) for each in self.notes))
        more = f", … ({len(self.notes)})" if len(names) > count else ""
        return ", ".join(names[:count]) + more


def alike(notes: Sequence[Note]) -> list[Alike]:
    """Notes by kind of object and reason, in the order in which the first of each stands in the source."""
    found: dict[tuple[str, str], list[Note]] = {}
    for note in notes:
        found.setdefault((_kind(note), _reason(note)), []).append(note)
    return [Alike(what=what, reason=reason, notes=each) for (what, reason), each in found.items()]


def _kind(note: Note) -> str:
    word = note.path.split(" ")[0]
    return word if re.fullmatch(r"[A-Z][A-Za-z0-9]+", word) else ""


def _reason(note: Note) -> str:
    """Without what stands for one place alone: the flag's name, the model's."""
    to = re.sub(r"\[[^\]]*\]", "[]", note.to or "")
    message = re.sub(r"^--[\w.-]+: ", "", note.message)
    return "  ".join(part for part in (f"→ {to}" if to else "", message) if part)


def _name(note: Note) -> str:
    words = note.path.split(" ")
    if not _kind(note) or len(words) < 2:
        return f"{note.file}:{note.line}" if note.line else note.file
    return " ".join(words[1:])
