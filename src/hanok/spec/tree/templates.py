"""Placeholders: `{name}` in a text stands for an argument, `{{name}}` for `{name}` itself."""

import re
from collections.abc import Iterator
from typing import Any, cast

PLACEHOLDER = re.compile(r"\{\{(?P<literal>[A-Za-z_][\w-]*)\}\}|\{(?P<name>[A-Za-z_][\w-]*)\}")


def names_in(value: Any) -> list[str]:
    """The arguments that a text, or the texts in lists and objects, name, each once, in their order."""
    return list(dict.fromkeys(_names(value)))


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from (match["name"] for match in PLACEHOLDER.finditer(value) if match["name"])
    elif isinstance(value, dict):
        for each in cast("dict[str, Any]", value).values():
            yield from _names(each)
    elif isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _names(each)
