"""Rules of custom resources in CEL (`x-kubernetes-validations`), evaluated by a library in Rust.

A value is handed over as Kubernetes does: names that CEL cannot write are escaped, times and durations are such, and
`type: number` is a fraction. Rules about a change (`oldSelf`) are skipped: what is looked at is new.
The library is optional; `Rules` raises `ImportError` without it.
"""

from __future__ import annotations

import datetime
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, cast

from hanok.preflight.manifests import Body, Step, text_at
from hanok.preflight.schema.formats import FORMATS
from hanok.preflight.schema.functions import FORMAT_NAMES, FUNCTIONS, validate
from hanok.preflight.schema.shapes import Shape
from hanok.preflight.schema.walk import Fault, Path

_KEYWORDS = frozenset((
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
    "loop", "package", "namespace", "return", "var", "void", "while",
))  # fmt: skip
"""Words that a field cannot be called in CEL (its specification, "RESERVED"): written as `__word__`."""
LONGEST = 20_000
"""Characters of a rule: longer ones could exhaust the stack of the library's parser."""
MOST_STEPS = 5_000_000
"""So many rounds of loops in loops a rule may take: the library cannot be interrupted."""
_LOOP_OR_PAREN = re.compile(r"\.(?:all|exists|exists_one|map|filter|transform\w+)\(|[()]")
_NUMBER = frozenset(("number",))
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES: Mapping[str, str] = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_STEP = re.compile(r"\.([A-Za-z_][\w]*)|\[(?:'([^']*)'|\"([^\"]*)\"|(\d+))\]")
_FAILURES = (ValueError, RuntimeError, TypeError, OverflowError, ArithmeticError, AttributeError, IndexError)
"""What the library raises where a rule cannot be evaluated."""
_COMMAND_LINE = "cel.cli"


def _library() -> Any:
    """The library, without its command line: that brings a prompt and its colours, and takes half a second."""
    if "cel" in sys.modules or _COMMAND_LINE in sys.modules:
        return import_module("cel")
    sys.modules[_COMMAND_LINE] = ModuleType(_COMMAND_LINE)
    try:
        return import_module("cel")
    finally:
        del sys.modules[_COMMAND_LINE]


_cel: Any = _library()
_STANDARD: Mapping[str, Any] = import_module("cel.stdlib").STDLIB_FUNCTIONS
_PARTS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Rules:
    """All rules that are asked in one run; each is compiled once."""

    def __init__(self) -> None:
        logging.getLogger("cel").setLevel(logging.CRITICAL)  # it warns of each failing function; we say it ourselves
        self._context = _cel.Context()
        for name, function in {**_STANDARD, **FUNCTIONS, "validate": _validate, "matches": _matches}.items():
            self._context.add_function(name, function)
        for name in FORMAT_NAMES:
            self._context.add_function(name, _constantly(name))
        self._context.add_function("named", _named_format)
        self._context.add_variable("format", "format")
        self._context.add_variable("oldSelf", _cel.OptionalValue.none())

    def ask(self, shape: Shape, value: Any, path: Path) -> Iterator[Fault]:
        """The rules of a shape that a value breaks."""
        asked = [rule for rule in shape.rules if not _is_about_a_change(rule)]
        if not asked:
            return
        try:
            self._context.add_variable("self", handed(shape, value))
        except _FAILURES as error:
            yield Fault(sort="unread", path=path, text=f"no rule can be asked of the value: {_why(error)}")
            return
        longest = _longest(value)
        for rule in asked:
            if longest ** _loops(text_at(rule, "rule")) > MOST_STEPS:
                said = f"the rule `{_flat(text_at(rule, 'rule'))}` loops too often over {longest} items"
                yield Fault(sort="unread", path=path, text=said)
            else:
                yield from self._one(rule, path)

    def _one(self, rule: Body, path: Path) -> Iterator[Fault]:
        source = text_at(rule, "rule")
        try:
            holds = _program(source).execute(self._context)
        except KeyError as error:  # the API server refuses it, too: `no such key`
            said = f"{self._told(rule)} (the rule asks for {error}, which is not there)"
            yield Fault(sort="rule", path=path, text=said)
            return
        except _FAILURES as error:
            yield Fault(sort="unread", path=path, text=f"the rule `{_flat(source)}` cannot be evaluated: {_why(error)}")
            return
        if holds is not True:
            yield Fault(sort="rule", path=(*path, *_steps(text_at(rule, "fieldPath"))), text=self._told(rule))

    def _told(self, rule: Body) -> str:
        """The message of a rule that is broken."""
        if source := text_at(rule, "messageExpression"):
            try:
                made = _program(source).execute(self._context)
            except (*_FAILURES, KeyError):
                made = None
            if isinstance(made, str) and made.strip():
                return _flat(made)
        return _flat(text_at(rule, "message")) or f"breaks the rule `{_flat(text_at(rule, 'rule'))}`"


def handed(shape: Shape, value: Any) -> Any:
    """A value as rules see it."""
    if isinstance(value, dict):
        fields = cast("Body", value)
        if shape.extra is not None and not shape.properties:
            return {name: handed(shape.extra, each) for name, each in fields.items()}
        known = shape.properties
        return {escaped(name): handed(known[name], each) if name in known else each for name, each in fields.items()}
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return items if shape.items is None else [handed(shape.items, each) for each in items]
    if isinstance(value, str):
        return _typed(shape.format, value) if shape.format else value
    if isinstance(value, int) and not isinstance(value, bool) and shape.types == _NUMBER:
        return float(value)
    if isinstance(value, float) and value.is_integer() and "integer" in shape.types:
        return int(value)
    return value


@cache
def escaped(name: str) -> str:
    """A field's name as rules write it: `__namespace__`, `x__dash__y`."""
    if name in _KEYWORDS:
        return f"__{name}__"
    if _NAME.fullmatch(name) and "__" not in name:
        return name
    return re.sub(r"__|[./-]", lambda found: _ESCAPES[found[0]], name)


def _longest(value: Any) -> int:
    """The length of the longest list or mapping in a value."""
    if not isinstance(value, dict | list):
        return 1
    held = cast("list[Any]", list(cast("Body", value).values()) if isinstance(value, dict) else value)
    return max([len(held), *(_longest(each) for each in held)], default=1)


@cache
def _loops(source: str) -> int:
    """How deep loops stand in loops."""
    open_: list[bool] = []
    deepest = 0
    for found in _LOOP_OR_PAREN.finditer(source):
        if found[0] == ")":
            open_ = open_[:-1]
        else:
            open_.append(found[0] != "(")
            deepest = max(deepest, sum(open_))
    return deepest


@cache
def _program(source: str) -> Any:
    if len(source) > LONGEST:
        raise ValueError(f"it has more than {LONGEST} characters")
    return _cel.compile(source)


@cache
def _names(source: str) -> frozenset[str]:
    try:
        return frozenset(_program(source).variables())
    except _FAILURES:
        return frozenset()


def _is_about_a_change(rule: Body) -> bool:
    return rule.get("optionalOldSelf") is not True and "oldSelf" in _names(text_at(rule, "rule"))


def _typed(form: str, text: str) -> Any:
    """Times, durations and bytes as such."""
    if form == "duration":
        return _duration(text)
    if form in ("date-time", "date") and FORMATS[form].fits(text):
        moment = datetime.datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return text


def _duration(text: str) -> Any:
    parts = re.findall(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", text)
    seconds = sum(float(number) * _PARTS[unit] for number, unit in parts)
    return datetime.timedelta(seconds=-seconds if text.startswith("-") else seconds)


def _validate(name: str, text: str) -> Any:
    found = validate(name, text)
    return _cel.OptionalValue.of(found) if found else _cel.OptionalValue.none()


def _matches(text: str, pattern: str) -> bool:
    """`matches(text, pattern)`, which the library knows only as `text.matches(pattern)`."""
    return _program("text.matches(pattern)").execute({"text": text, "pattern": pattern})


def _named_format(_: str, name: str) -> Any:
    return _cel.OptionalValue.of(name) if name in FORMAT_NAMES else _cel.OptionalValue.none()


def _constantly(name: str) -> Any:
    def named(*_: object) -> str:
        return name

    return named


def _steps(path: str) -> tuple[Step, ...]:
    """`.spec['a'][0]` as steps."""
    return tuple(
        int(found[4]) if found[4] else found[1] or found[2] or found[3] or "" for found in _STEP.finditer(path)
    )


def _flat(text: str) -> str:
    return " ".join(text.split())


def _why(error: BaseException) -> str:
    return _flat(str(error)).split(" Check ")[0]
