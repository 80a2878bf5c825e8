"""JSON pointers (RFC 6901): `/results/0/a~1b`."""

from __future__ import annotations

import re
from typing import Any, cast

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class Nowhere(LookupError):
    """A pointer that names nothing: `seen` is how far it leads, `here` what is there."""

    def __init__(self, seen: str, here: Any) -> None:
        super().__init__(seen)
        self.seen = seen
        self.here = here


def at(value: Any, pointer: str) -> Any:
    """What the pointer names. Raises `Nowhere`."""
    here, seen = value, ""
    for token in pointer.removeprefix("/").split("/") if pointer else []:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and key in here:
            here = cast("dict[str, Any]", here)[key]
        elif isinstance(here, list) and _INDEX.fullmatch(key) and int(key) < len(cast("list[Any]", here)):
            here = cast("list[Any]", here)[int(key)]
        else:
            raise Nowhere(seen, here)
        seen += f"/{token}"
    return here
