"""Which part of a line a finding is about: the value of the key that its path ends with, or the key itself."""

from __future__ import annotations

import re

_ENTRY = re.compile(
    r"(?:-\s+)*(?P<key>\"[^\"]*\"|'[^']*'|[^\s:#][^:#]*?)\s*:(?:\s+(?P<value>[^\s#].*?))?\s*(?:\s#.*)?$"
)
_ITEM = re.compile(r"(?:-\s+)+(?P<value>[^\s#].*?)\s*(?:\s#.*)?$")


def marked(text: str, path: str) -> tuple[int, int]:
    """First and last place (counted from 0, the last not among them) of what to mark in a line without its indent.

    `path` is the finding's: where the line is about its last key, the value is meant, else all that the line says.
    """
    entry = _ENTRY.fullmatch(text)
    if entry is None:
        item = _ITEM.fullmatch(text)
        return item.span("value") if item else (0, len(text))
    last = path.rpartition(".")[2].partition("[")[0]
    own = path.endswith(entry["key"].strip("\"'"))  # a key may hold dots
    if entry["value"] and (own or last == entry["key"]):
        return entry.span("value")
    return entry.span("key") if own or not entry["value"] else (entry.start("key"), entry.end("value"))
