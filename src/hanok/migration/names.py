"""Names of the source as platform.yaml allows them: letters, digits and `. _ : / -`."""

from __future__ import annotations

import re

LENGTH = 128
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._:/-]+")
_NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9._-]+")


def as_name(text: str, otherwise: str) -> str:
    """The text without what no name may hold; `otherwise` when nothing is left of it."""
    return _NOT_IN_NAMES.sub("-", text).lstrip("._:/-")[:LENGTH].rstrip("-") or otherwise


def as_tag(text: str) -> str:
    """The text as a tag of an endpoint; empty when nothing is left of it."""
    return _NOT_IN_TAGS.sub("-", text).lstrip("._-")[:64].rstrip("-")


class Names:
    """Names of teams. Two that differ in the source never get the same one: that would give one what is the other's."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def of(self, text: str) -> str:
        if text not in self._given:
            plain = as_name(text, "team")
            wanted, number = plain, 2
            while wanted in self._given.values():
                wanted, number = f"{plain[: LENGTH - 4]}-{number}", number + 1
            self._given[text] = wanted
        return self._given[text]
