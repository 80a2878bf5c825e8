"""What every step of the guide is told, and how it writes commands. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from hanok.kubernetes.component import Chart, Piece, Placed
from hanok.kubernetes.notes import Note, Role, Told
from hanok.kubernetes.plan import ClusterPlan

_Kind = TypeVar("_Kind")
TREE = '"$TREE"'
"""The tree's folder, seen from that of the platform file: where it lies is known where it is applied."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """`form` is the tree's format."""

    plan: ClusterPlan
    form: str
    notes: Sequence[Note]
    pieces: Sequence[Piece]

    def of(self, kind: type[Told]) -> list[Note]:
        """The notes of a kind."""
        return [each for each in self.notes if isinstance(each.told, kind)]

    def told(self, kind: type[_Kind]) -> list[_Kind]:
        """What the notes of a kind tell."""
        return [each.told for each in self.notes if isinstance(each.told, kind)]

    @property
    def cluster(self) -> str:
        return self.plan.cluster.name

    @cached_property
    def objects(self) -> list[Placed]:
        return [each for each in self.pieces if isinstance(each, Placed)]

    @cached_property
    def charts(self) -> list[Chart]:
        return [each for each in self.pieces if isinstance(each, Chart)]

    @property
    def annotated(self) -> list[Role]:
        """Roles that ServiceAccounts name themselves."""
        return [each for each in self.told(Role) if each.annotated]

    @property
    def balanced(self) -> bool:
        """Whether there is a load balancer."""
        return self.plan.cluster.entry.expose != "none"


def sh(*lines: str) -> str:
    """Commands to paste."""
    return "```sh\n" + "\n".join(lines) + "\n```\n"


def listed(notes: Sequence[Note]) -> str:
    return "".join(f"- **{each.component}**: {each.message}\n" for each in notes)


def quoted(text: str) -> str:
    """As a shell takes it for one word."""
    return shlex.quote(text)


def policy(statements: Sequence[Mapping[str, Any]]) -> str:
    """A policy of IAM, a statement a line."""
    rows = ",\n  ".join(json.dumps(each) for each in statements)
    return f'{{"Version": "2012-10-17", "Statement": [\n  {rows}\n]}}'
