"""Which checkpoints of a thread must stay, so that the latest few can be read whole.

A LangGraph `DeltaChannel` is stored as what each step added: its value is the nearest ancestor's that was written
whole, and what was added since. So a checkpoint that stays needs its ancestors back to there
(`langgraph.channels.delta`, `BaseCheckpointSaver.get_delta_channel_history`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A checkpoint: the channels it has the value of (`whole`), and those it has a version of but no value (`parts`).

    `counted` are the delta channels whose updates it counts.
    """

    counted: frozenset[str]
    whole: frozenset[str]
    parts: frozenset[str]


def needed(checkpoint: str, parents: Mapping[str, str | None], read: Callable[[str], Stored]) -> list[str]:
    """The ancestors that a checkpoint's value is made of, the nearest first."""
    missing = read(checkpoint).counted & read(checkpoint).parts
    found: list[str] = []
    parent = parents.get(checkpoint)
    while missing and parent is not None and parent in parents and parent not in (checkpoint, *found):
        found.append(parent)
        missing -= read(parent).whole
        parent = parents[parent]
    return found


def kept(parents: Mapping[str, str | None], keep: int, read: Callable[[str], Stored]) -> set[str]:
    """Of checkpoints with their parents, whose ids sort by time: the latest `keep`, and what they need."""
    latest = sorted(parents, reverse=True)[:keep]
    return {*latest, *(each for one in latest for each in needed(one, parents, read))}


def is_call(namespace: str) -> bool:
    """Whether it is of one call of a subgraph, `node:task`, rather than of a graph that goes on."""
    return ":" in namespace


def has_gone(metadata: Mapping[str, Any], roots: Set[str]) -> bool:
    """Of the latest checkpoint of a called subgraph: whether that from which it was called has gone, rather than not
    come yet. `roots` are those of the graph that stay."""
    root: str | None = dict[str, Any](metadata.get("parents") or {}).get("")
    return root is not None and root not in roots and root < max(roots, default="")
