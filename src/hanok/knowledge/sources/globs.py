"""Globs as `.gitignore` has them, as regular expressions over paths with `/`.

`*` and `?` stay within a name, `**` crosses folders. A glob without `/`, but for one at its end, fits at any depth;
one with `/` begins at the source. What fits a folder fits all that is below it. There is no `!`.
Format: https://git-scm.com/docs/gitignore#_pattern_format
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import takewhile

from hanok.errors import SourceUnreadable

MAGIC = frozenset("*?[")
_TOKENS = re.compile(
    r"(?P<folders>(?<![^/])(?:\*\*/)+)|(?P<rest>/\*\*$)|(?P<stars>\*+)|(?P<any>\?)|\[(?P<set>!?\]?[^\]/]*)\]|(.)",
    re.DOTALL,
)


@lru_cache(maxsize=1024)
def compile_glob(glob: str, *, below: bool = True) -> re.Pattern[str]:
    """An expression that fits whole paths; with `below`, also those below a folder that fits.

    Raises `SourceUnreadable` when the glob cannot be read.
    """
    body = glob.strip("/")
    anchored = glob.startswith("/") or "/" in body
    inside = "/.*" if glob.endswith("/") else "(?:/.*)?"
    text = ("" if anchored else "(?:.*/)?") + _translate(body) + (inside if below else "")
    try:
        return re.compile(text, re.DOTALL)
    except re.error as error:
        raise SourceUnreadable(f"the glob {glob!r} cannot be read: {error}", hint="correct it") from None


def _translate(body: str) -> str:
    return "".join(_token(found) for found in _TOKENS.finditer(body))


def _token(found: re.Match[str]) -> str:
    if found["folders"]:
        return "(?:[^/]+/)*"
    if found["rest"]:
        return "/.+"
    if found["stars"]:
        return ".*" if found["stars"] == found.string == "**" else "[^/]*"
    if found["any"]:
        return "[^/]"
    if found["set"]:
        return _set(found["set"])
    return re.escape(found[0])


def _set(inner: str) -> str:
    """`[!a-c]`: letters of a name, never its slash."""
    negated, letters = inner.startswith("!"), inner.removeprefix("!")
    escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", letters)
    return f"(?!/)[{'^' if negated else ''}{escaped}]"


def lead_of(glob: str) -> str | None:
    """The path that all begin with, or end at, that a glob fits; None where they may lie anywhere."""
    body = glob.strip("/")
    if not glob.startswith("/") and "/" not in body:
        return None
    return "/".join(takewhile(lambda part: not MAGIC & set(part), body.split("/")))
