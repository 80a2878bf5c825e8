"""vLLM's flags and variables as a file beside this one tells them: those it has, those it lost, those that came."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

Version = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Gone:
    """Something that vLLM had. `by` is a version that no longer has it, maybe not the first; zeros: it never was."""

    by: Version
    instead: str


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """All of it. Names have no dashes before them."""

    listed: Version
    """Whose flags these are."""
    newest: Version
    engine: frozenset[str]
    server: frozenset[str]
    gone: Mapping[str, Gone]
    new: Mapping[str, Version]
    """Flags that no version before had."""
    variables: Mapping[str, Gone]

    @property
    def flags(self) -> frozenset[str]:
        return self.engine | self.server


@cache
def vocabulary() -> Vocabulary:
    """What the file says."""
    read = json.loads(resources.files("hanok.preflight.fit").joinpath("flags.json").read_text("utf-8"))
    return Vocabulary(
        listed=version(read["listed"]),
        newest=version(read["newest"]),
        engine=frozenset(read["engine"]),
        server=frozenset(read["server"]),
        gone=_gone(read["gone"]),
        new={name: version(each) for name, each in read["new"].items()},
        variables=_gone(read["variables"]),
    )


def _gone(entries: Mapping[str, Mapping[str, str]]) -> dict[str, Gone]:
    return {name: Gone(by=version(each["by"]), instead=each["instead"]) for name, each in entries.items()}


def version(text: str) -> Version:
    """`0.18` as numbers."""
    numbers = [int(each) for each in text.split(".")]
    major, minor, patch = [*numbers, 0, 0][:3]
    return major, minor, patch
