"""A value held to a shape: one fault for each thing that the API server would refuse, in words for people.

Custom objects are completed first, as the API server does: nulls that mean nothing are dropped, defaults filled in.
Rules in CEL are asked only of parts that are otherwise sound, as they may take for granted that they are.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, cast

from hanok.preflight.findings import dotted
from hanok.preflight.manifests import Body, Step
from hanok.preflight.quantities import quantity
from hanok.preflight.schema.formats import FORMATS, RANGES, compiled
from hanok.preflight.schema.shapes import OBJECT_META, OF_EVERY_OBJECT, POD_SPEC, QUANTITY, Definitions, Shape

Sort = Literal["unknown", "missing", "type", "value", "twice", "rule", "unread"]
Path = tuple[Step, ...]
NAMED = 12
"""So many known fields are listed in a hint."""
LONGEST = 60
"""Characters of a value that a message shows."""
DEPTH = 3
"""So deep is looked for the place where an unknown field would belong."""
_EVERYWHERE = ("spec", "status", *OF_EVERY_OBJECT)
"""Fields of every object, which tell nothing of where an unknown one belongs."""
_TYPES: Mapping[str, str] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong. A `rule` is one in CEL; an `unread` one could not be evaluated."""

    sort: Sort
    path: Path
    text: str
    hint: str | None = None

    @property
    def message(self) -> str:
        return f"{dotted(self.path)}: {self.text}" if self.path else self.text


Ask = Callable[[Shape, Any, Path], Iterator[Fault]]
"""The faults that a shape's own rules in CEL find in a value."""


@dataclass(kw_only=True)
class Walk:
    """A walk through one object. `meta` is the shape of every object's metadata, where it is known."""

    meta: Shape | None = None
    ask: Ask | None = None
    faults: list[Fault] = field(default_factory=list[Fault])
    sound: set[str] = field(default_factory=set[str])
    """Specs of pods without a fault, as text: thousands of pods have few, and each is walked through once."""
    trail: list[tuple[Step, Shape]] = field(default_factory=list["tuple[Step, Shape]"])
    """The mappings that lead here, for the place where an unknown field would belong."""

    def look(self, shape: Shape, value: Any, path: Path) -> None:
        """Gather the faults of a value."""
        before = len(self.faults)
        if value is None:
            if not shape.nullable:
                self._say("type", path, f"is empty, and must be {_either(shape.types)}")
            return
        if shape.accepts and type(cast("object", value)) not in shape.accepts and not _is_integral(value, shape):
            self._say("type", path, *_mistaken(value, shape.types))
            return
        if isinstance(value, dict):
            self._mapping(shape, cast("Body", value), path)
        elif isinstance(value, list):
            self._list(shape, cast("list[Any]", value), path)
        else:
            self._single(shape, value, path)
        if shape.choices and value not in shape.choices and not (value == "" and shape.definitions):
            self._choice(shape, value, path)
        if shape.joined:
            self._join(shape, value, path)
        if shape.rules and self.ask and len(self.faults) == before:
            self.faults += self.ask(shape, value, path)

    def _say(self, sort: Sort, path: Path, text: str, hint: str | None = None) -> None:
        self.faults.append(Fault(sort=sort, path=path, text=text, hint=hint))

    def _mapping(self, shape: Shape, value: Body, path: Path) -> None:
        if shape.name != POD_SPEC:
            self._fields(shape, value, path)
        elif (text := repr(value)) not in self.sound:
            before = len(self.faults)
            self._fields(shape, value, path)
            if len(self.faults) == before:
                self.sound.add(text)

    def _fields(self, shape: Shape, value: Body, path: Path) -> None:
        for name in shape.required:
            if name not in value:
                self._say("missing", (*path, name), "required and missing", _say_what(shape, name))
        self._count(shape, len(value), path, "Properties", "fields")
        self.trail.append((path[-1] if path else "", shape))
        for name, each in value.items():
            if name == "metadata" and self.meta and (shape.root or shape.embedded):
                self.look(self.meta, each, (*path, name))
            elif (below := shape.properties.get(name)) is not None or (below := shape.extra) is not None:
                self.look(below, each, (*path, name))
            elif shape.closed:
                self._say("unknown", (*path, name), "there is no such field", self._belongs(shape, name))
        self.trail.pop()

    def _belongs(self, shape: Shape, name: str) -> str:
        """Where the field would belong, or what it may have been meant to be."""
        known = list(shape.properties)
        near = _nearest(name, known)
        if near is not None:
            return f"`{near}` is meant, perhaps"
        for index in range(len(self.trail) - 2, -1, -1):
            if name in self.trail[index][1].properties and name not in _EVERYWHERE:
                above = ".".join(str(step) for step, _ in self.trail[1 : index + 1] if isinstance(step, str))
                return f"`{name}` stands further up, under `{above}`" if above else f"`{name}` stands at the top"
        below = _find_below(shape, name)
        if below:
            return f"`{name}` stands under `{'.'.join(below)}`"
        if not known:
            return "take it out: no field is known here"
        told = ", ".join(known[:NAMED]) + (", …" if len(known) > NAMED else "")
        return f"take it out, or write one that exists: {told}"

    def _list(self, shape: Shape, value: Sequence[Any], path: Path) -> None:
        self._count(shape, len(value), path, "Items", "items")
        if shape.items is not None:
            for index, each in enumerate(value):
                self.look(shape.items, each, (*path, index))
        if shape.unique_by is not None:
            self._unique(shape.unique_by, value, path)

    def _unique(self, keys: Sequence[str], value: Sequence[Any], path: Path) -> None:
        seen: dict[str, int] = {}
        for index, each in enumerate(value):
            mark = json.dumps(_identity(each, keys), sort_keys=True, default=str)
            if mark in seen:
                what = f"the same {' and '.join(keys)}" if keys else "the same"
                self._say("twice", (*path, index), f"{what} as item {seen[mark]}: {_shown(_identity(each, keys))}")
            seen.setdefault(mark, index)

    def _single(self, shape: Shape, value: Any, path: Path) -> None:
        if isinstance(value, str):
            self._text(shape, value, path)
        elif not isinstance(value, bool):
            self._number(shape, value, path)

    def _text(self, shape: Shape, value: str, path: Path) -> None:
        if shape.name == QUANTITY and quantity(value) is None and "${" not in value:
            self._say("value", path, f"{_shown(value)} is not a quantity", "write it as 500m, 2, 1.5 or 16Gi")
        if shape.bounded:
            self._count(shape, len(value), path, "Length", "characters")
        if shape.pattern and (pattern := compiled(shape.pattern)) and not pattern(value):
            self._say("value", path, f"{_shown(value)} does not match {shape.pattern}")
        told = FORMATS.get(shape.format)
        if told is not None and not shape.int_or_string and not told.fits(value):
            self._say("value", path, f"{_shown(value)} is not {told.name}", f"write it as {told.example}")

    def _number(self, shape: Shape, value: float, path: Path) -> None:
        low, high = shape.number("minimum"), shape.number("maximum")
        least, most = RANGES.get(shape.format, (None, None))
        if low is not None and (value < low or (value == low and shape.schema.get("exclusiveMinimum") is True)):
            self._say("value", path, f"{_shown(value)} is too small: at least {_shown(low)}")
        elif high is not None and (value > high or (value == high and shape.schema.get("exclusiveMaximum") is True)):
            self._say("value", path, f"{_shown(value)} is too large: at most {_shown(high)}")
        elif (least is not None and value < least) or (most is not None and value > most):
            self._say("value", path, f"{_shown(value)} does not fit into {shape.format}")
        step = shape.number("multipleOf")
        if step and value % step:
            self._say("value", path, f"{_shown(value)} is not a multiple of {_shown(step)}")

    def _count(self, shape: Shape, count: int, path: Path, key: str, what: str) -> None:
        if not shape.bounded:
            return
        low, high = shape.whole(f"min{key}"), shape.whole(f"max{key}")
        if low is not None and count < low:
            self._say("value", path, "must not be empty" if low == 1 else f"has {count} {what}: at least {low}")
        elif high is not None and count > high:
            self._say("value", path, f"has {count} {what}: at most {high}")

    def _choice(self, shape: Shape, value: Any, path: Path) -> None:
        told = ", ".join(_shown(each) for each in shape.choices)
        near = _nearest(str(value), [str(each) for each in shape.choices])
        hint = f"`{near}` is meant, perhaps" if near else None
        one = "is not" if len(shape.choices) == 1 else "is none of"
        self._say("value", path, f"{_shown(value)} {one} {told}", hint)

    def _join(self, shape: Shape, value: Any, path: Path) -> None:
        for each in shape.branches("allOf"):
            self.look(each, value, path)
        for word in ("anyOf", "oneOf"):
            if branches := shape.branches(word):
                self._one_of(word, [self._apart(each, value, path) for each in branches], branches, path)
        for each in shape.branches("not"):
            if not self._apart(each, value, path):
                self._say("value", path, _forbidden(each))

    def _apart(self, shape: Shape, value: Any, path: Path) -> list[Fault]:
        other = Walk(meta=self.meta)
        other.look(shape, value, path)
        return other.faults

    def _one_of(self, word: str, found: Sequence[list[Fault]], branches: Sequence[Shape], path: Path) -> None:
        """The faults of several branches, as one."""
        fitting = [branch for branch, faults in zip(branches, found, strict=True) if not faults]
        if len(fitting) == 1 or (fitting and word == "anyOf"):
            return
        if fitting:
            told = [" and ".join(each.required) for each in fitting if each.required]
            text = f"only one of {', '.join(told)} may stand here" if told else "fits more than one of its branches"
            self._say("value", path, text)
        elif all(each.sort == "missing" for faults in found for each in faults):
            told = [" and ".join(dotted(each.path[len(path) :]) for each in faults) for faults in found]
            self._say("missing", path, f"needs one of {', '.join(dict.fromkeys(told))}")
        else:
            nearest = min(found, key=len)
            self.faults += nearest[:1]


def look(
    shape: Shape, body: Body, *, definitions: Definitions | None, ask: Ask | None = None, sound: set[str] | None = None
) -> list[Fault]:
    """The faults of an object. Raises nothing, whatever its shape.

    `sound` remembers specs of pods without a fault from one look to the next, as long as the definitions are the same.
    """
    meta = definitions.shape(OBJECT_META) if definitions is not None else None
    walk = Walk(meta=meta, ask=ask, sound=set() if sound is None else sound)
    walk.look(shape, body if shape.definitions is not None else completed(shape, body), ())
    return walk.faults


def completed(shape: Shape, value: Any) -> Any:
    """A custom object as the API server sees it: without nulls that mean nothing, with defaults."""
    if isinstance(value, dict):
        return _completed_mapping(shape, cast("Body", value))
    if isinstance(value, list) and shape.items is not None:
        inner = shape.items
        return [completed(inner, each) for each in cast("list[Any]", value)]
    return cast("Any", value)


def _completed_mapping(shape: Shape, value: Body) -> Body:
    found: dict[str, Any] = {}
    for name, each in value.items():
        below = shape.properties.get(name) or shape.extra
        if below is None or name in (OF_EVERY_OBJECT if shape.root else ()):
            found[name] = each
        elif each is not None or below.nullable:
            found[name] = completed(below, each)
    for name, below in shape.properties.items():
        if name not in found and below.default is not None:
            found[name] = completed(below, below.default)
    return found


def _identity(value: Any, keys: Sequence[str]) -> Any:
    """By what an item of a list is told from others."""
    if not keys or not isinstance(value, dict):
        return value
    fields = cast("Body", value)
    return {key: fields.get(key) for key in keys}


def _is_integral(value: Any, shape: Shape) -> bool:
    """Whether it is a whole number that is written as a fraction: `1.0`."""
    return isinstance(value, float) and "integer" in shape.types and value.is_integer()


def _mistaken(value: Any, types: frozenset[str]) -> tuple[str, str | None]:
    """What it is instead, and what to do."""
    text = f"must be {_either(types)}, and is {_named(value)}"
    if "string" in types and isinstance(value, bool):
        return text, "write it in quotes: without them `y`, `yes`, `on`, `n`, `no` and `off` are true and false, too"
    if "string" in types and not isinstance(value, dict | list):
        return text, f'write it in quotes: "{json.dumps(value)}"'
    if isinstance(value, str) and value.strip().lower() in ("true", "false") and "boolean" in types:
        return text, "write it without quotes"
    if isinstance(value, str) and types & {"integer", "number"} and value.strip().lstrip("-").isdigit():
        return text, "write it without quotes"
    if "array" in types and isinstance(value, dict | str):
        return text, "begin each item with `- `"
    if "object" in types and isinstance(value, list):
        return text, "take the `- ` out"
    return text, None


def _either(types: frozenset[str]) -> str:
    return " or ".join(told for kind, told in _TYPES.items() if kind in types)


def _named(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    what = "the text" if isinstance(value, str) else "" if isinstance(value, bool) else "the number"
    return f"{what} {_shown(value)}".strip()


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _nearest(name: str, known: Sequence[str]) -> str | None:
    by_lower = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.75)
    return by_lower[found[0]] if found else None


def _find_below(shape: Shape, name: str) -> list[str] | None:
    """The nearest place beneath where a field of that name stands."""
    waiting: deque[tuple[list[str], Shape]] = deque([([], shape)])
    while waiting:
        path, each = waiting.popleft()
        inner = each.items if each.items is not None else each
        if path and name in inner.properties:
            return path
        if len(path) < DEPTH:
            waiting.extend(([*path, step], below) for step, below in inner.properties.items() if step != "status")
    return None


def _say_what(shape: Shape, name: str) -> str | None:
    below = shape.properties.get(name)
    if below is None:
        return None
    if below.choices:
        return f"write `{name}`: one of {', '.join(_shown(each) for each in below.choices)}"
    return f"write `{name}`: {_either(below.types)}" if below.types else None


def _forbidden(shape: Shape) -> str:
    if shape.choices:
        return f"must not be {' or '.join(_shown(each) for each in shape.choices)}"
    return f"{' and '.join(shape.required)} must not stand here" if shape.required else "is a value that is forbidden"
