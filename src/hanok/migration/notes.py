"""What is told of a migration: one note for each thing of the source, with its place there."""

from __future__ import annotations

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
