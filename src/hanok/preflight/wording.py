"""How findings say lists: a few by name and how many more, and labels as selectors on a command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def listed(names: Iterable[str], most: int, *, last: str = "and") -> str:
    """`a, b, c and 4 more`: each once, so many by name."""
    told = list(dict.fromkeys(names))
    return ", ".join(told[:most]) + (f" {last} {len(told) - most} more" if len(told) > most else "")


def labelled(labels: Mapping[str, str]) -> str:
    """`app=web, tier=front`; empty for none."""
    return ", ".join(f"{key}={value}" for key, value in labels.items())
