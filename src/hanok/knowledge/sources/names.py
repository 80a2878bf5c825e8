"""Names of files, which are bytes, in text that any store can keep.

Python reads bytes that are no UTF-8 as lone surrogates, which cannot be written anywhere. They are spelled `%FF`
instead, and `%` itself `%25`, so that the name can be had back.
"""

from __future__ import annotations

import re

_STRANGE = re.compile("[%\udc80-\udcff]")
_SPELLED = re.compile("%([0-9A-F]{2})")


def spell(name: str) -> str:
    """The name in Unicode, to be read by `unspell`."""
    return _STRANGE.sub(lambda found: f"%{ord(found[0]) & 0xFF:02X}", name)


def unspell(spelled: str) -> str:
    """The name as the file system has it."""
    return _SPELLED.sub(lambda found: "%" if found[1] == "25" else chr(0xDC00 + int(found[1], 16)), spelled)


def show(name: str) -> str:
    """The name for people: what is no UTF-8 becomes a replacement character."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
