"""The source file as blocks that remember what was taken from them.

Each rule takes the keys that it knows; what nobody took is told at the end. So nothing of the source is lost without
a word. Places come from the same walk over YAML nodes as those of platform.yaml (`spec.nodes`).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hanok.errors import Problem, SpecError
from hanok.migration.notes import Kind, Note
from hanok.spec.checks import quoted
from hanok.spec.nodes import Book, Place, compose, construct, dotted, walk

_ENVIRONMENT = "os.environ/"
_KINDS: dict[type, str] = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


class Sheet:
    """Where everything stands in one source file, and the notes made of it."""

    def __init__(self, book: Book, *, first_line: int = 0, prefix: Place = ()) -> None:
        self._book = book
        self._first_line = first_line
        self._prefix = prefix
        self.notes: list[Note] = []
        self._told: set[Note] = set()

    def note(self, kind: Kind, place: Place, message: str = "", *, to: str | None = None, about: str | None) -> None:
        line, column = self._where(place)
        note = Note(
            kind=kind, file=str(self._book.file), line=line, column=column, path=dotted(place), message=message,
            to=to, about=about,
        )  # fmt: skip
        if note not in self._told:
            self._told.add(note)
            self.notes.append(note)

    def take_back(self, place: Place) -> None:
        """Nothing beneath this place was carried over after all."""
        path = dotted(place)
        self.notes = [note for note in self.notes if note.kind != "carried" or not note.path.startswith(f"{path}.")]

    def _where(self, place: Place) -> tuple[int, int]:
        place = (*self._prefix, *place)
        while place:
            node = self._book.keys.get(place) or self._book.places.get(place)
            if node is not None:
                return node.start_mark.line + 1 + self._first_line, node.start_mark.column + 1
            place = place[:-1]
        return 0, 0


class Block:
    """A mapping of the source. Values of a wrong type are noted as wrong and count as absent."""

    def __init__(self, sheet: Sheet, place: Place, value: Mapping[str, Any], about: str | None = None) -> None:
        self.sheet = sheet
        self.place = place
        self.about = about
        self._value = value
        self._taken: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return self._value.get(key) is not None

    @property
    def keys(self) -> list[str]:
        """The keys with a value that nobody took yet."""
        return [key for key, value in self._value.items() if value is not None and key not in self._taken]

    def take(self, key: str) -> Any:
        """The value as it is; None when it is absent or null."""
        self._taken.add(key)
        return self._value.get(key)

    def take_text(self, key: str) -> str | None:
        value = self.take(key)
        if isinstance(value, str):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        self._is(key, value, str)
        return None

    def take_flag(self, key: str) -> bool | None:
        value = self.take(key)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        return value is True if self._is(key, value, bool) else None

    def take_number(self, key: str, *, least: float = 0.0, above: float | None = None) -> float | None:
        """A number of at least `least`, or greater than `above`; numbers in quotes count, as they do in LiteLLM."""
        value = self.take(key)
        if isinstance(value, str) and value.strip().startswith(_ENVIRONMENT):
            self.left(key, "a number that comes from the environment: write the number into platform.yaml")
            return None
        number = _as_number(value)
        if number is None:
            if value is not None:
                self.wrong(key, f"is {_named(value)}, not a number")
            return None
        if number < least or (above is not None and number <= above):
            bound = f"more than {above:g}" if above is not None else f"at least {least:g}"
            self.wrong(key, f"is {number:g}: it must be {bound}")
            return None
        return number

    def take_whole(self, key: str, *, least: int = 1) -> int | None:
        number = self.take_number(key, least=least)
        return None if number is None else int(min(number, 10**12))

    def take_list(self, key: str) -> list[Any]:
        value = self.take(key)
        return cast("list[Any]", value) if self._is(key, value, list) else []

    def take_names(self, key: str) -> list[str]:
        """A list of texts; one text alone is a list of it."""
        value = self.take(key)
        if isinstance(value, str):
            return [value]
        names = cast("list[Any]", value) if self._is(key, value, list) else []
        for index, name in enumerate(names):
            if not isinstance(name, str):
                self.wrong((key, index), f"is {_named(name)}, not a name")
        return [name for name in names if isinstance(name, str)]

    def take_block(self, key: str) -> Block:
        """The mapping under `key`; an empty one when there is none."""
        value = self.take(key)
        return self.beneath((key,), cast("dict[str, Any]", value) if self._is(key, value, dict) else {})

    def take_blocks(self, key: str) -> list[Block]:
        found: list[Block] = []
        for index, value in enumerate(self.take_list(key)):
            if self._is((key, index), value, dict):
                found.append(self.beneath((key, index), value))
            elif value is None:
                self.wrong((key, index), "is empty")
        return found

    def beneath(self, steps: Place, value: Mapping[str, Any]) -> Block:
        return Block(self.sheet, (*self.place, *steps), value, self.about)

    def carried(self, key: str | Place, to: str, message: str = "") -> None:
        self._note("carried", key, message, to)

    def changed(self, key: str | Place, message: str, to: str | None = None) -> None:
        self._note("changed", key, message, to)

    def left(self, key: str | Place, message: str) -> None:
        self._note("left", key, message, None)

    def wrong(self, key: str | Place, message: str, to: str | None = None) -> None:
        self._note("wrong", key, message, to)

    def leave_rest(self, reasons: Mapping[str, str], known: Iterable[str] = ()) -> None:
        """Tell every key that nobody took: why it is not carried over, or that LiteLLM knows no such key."""
        names = {*reasons, *known}
        for key in self.keys:
            if key in reasons:
                self.left(key, reasons[key])
            elif key in names or not self.is_misspelt(key, names):
                self.left(key, "Hanok has nothing like it")
            self.take(key)

    def is_misspelt(self, key: str, names: Iterable[str] = ()) -> bool:
        """Whether the key is nearly one of these or of those that were taken, which is told."""
        cutoff = 0.8 if len(key) > 5 else 0.6
        near = difflib.get_close_matches(key, {*names, *self._taken} - {key}, n=1, cutoff=cutoff)
        if near:
            self.wrong(key, f"LiteLLM knows no such key: did you mean {quoted(near[0])}?")
        return bool(near)

    def _note(self, kind: Kind, key: str | Place, message: str, to: str | None) -> None:
        steps = (key,) if isinstance(key, str) else key
        if to is not None and self.about is not None:
            to = to.replace("models[]", f"models[{self.about}]")
        self.sheet.note(kind, (*self.place, *steps), message, to=to, about=self.about)

    def _is(self, key: str | Place, value: Any, wanted: type) -> bool:
        if value is not None and not isinstance(value, wanted):
            self.wrong(key, f"is {_named(value)}, not {_KINDS[wanted]}")
        return isinstance(value, wanted)


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _named(value: Any) -> str:
    return next((name for kind, name in _KINDS.items() if type(value) is kind), "a date")


def open_source(text: str, file: Path) -> Block:
    """Read LiteLLM's configuration: the file itself, or one inside a Kubernetes ConfigMap or Helm values.

    Raises `SpecError` when it is no YAML, or no mapping.
    """
    book, sheet_line, root = Book(file), 0, _composed(text, file)
    if inside := _config_map_text(root):
        sheet_line, text = inside.start_mark.line + 1, str(inside.value)
        root = _composed(text, file, sheet_line)
    repeated = _drop_repeated(root)
    walk(root, (), book, [])
    prefix: Place = ("proxy_config",) if "proxy_config" in (value := construct(root, file)) else ()
    sheet = Sheet(book, first_line=sheet_line, prefix=prefix)
    block = Block(sheet, (), value["proxy_config"] if prefix and isinstance(value["proxy_config"], dict) else value)
    _tell_repeated(sheet, repeated, book, sheet_line)
    for each in book.problems:
        block.sheet.notes.append(_as_note(each, sheet_line))
    return block


def _composed(text: str, file: Path, first_line: int = 0) -> MappingNode:
    try:
        return compose(text, file)
    except SpecError as error:
        raise SpecError([_for_litellm(each, first_line) for each in error.problems]) from None


def _for_litellm(problem: Problem, first_line: int) -> Problem:
    hint = problem.hint
    if problem.message in ("is empty", "is not a mapping of keys"):
        hint = "LiteLLM's configuration begins with keys such as `model_list:`"
    line = problem.line + first_line if problem.line else 0
    return Problem(
        file=problem.file, line=line, column=problem.column, path=problem.path, message=problem.message, hint=hint
    )


def _config_map_text(root: MappingNode) -> ScalarNode | None:
    """The text of LiteLLM's configuration in a ConfigMap: the value under `data` that has a model list."""
    pairs = {str(key.value): value for key, value in cast("list[tuple[Node, Node]]", root.value)}
    kind, data = pairs.get("kind"), pairs.get("data")
    if kind is None or kind.value != "ConfigMap" or not isinstance(data, MappingNode):
        return None
    values = [value for _, value in cast("list[tuple[Node, Node]]", data.value) if isinstance(value, ScalarNode)]
    return next((value for value in values if "model_list" in str(value.value)), None)


def _drop_repeated(root: Node) -> list[tuple[Node, Node]]:
    """Take out the keys that a later one of the same name overrules, as PyYAML does; returns (first, last) of each."""
    repeated: list[tuple[Node, Node]] = []
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, SequenceNode):
            waiting += cast("list[Node]", node.value)
        elif isinstance(node, MappingNode):
            node.value = _last_of_each(cast("list[tuple[Node, Node]]", node.value), repeated)
            waiting += [value for _, value in node.value]
    return repeated


def _last_of_each(pairs: list[tuple[Node, Node]], repeated: list[tuple[Node, Node]]) -> list[tuple[Node, Node]]:
    last = {str(key.value): key for key, _ in pairs if isinstance(key, ScalarNode)}
    kept: list[tuple[Node, Node]] = []
    for key, value in pairs:
        winner = last.get(str(key.value), key) if isinstance(key, ScalarNode) else key
        if winner is key:
            kept.append((key, value))
        else:
            repeated.append((key, winner))
    return kept


def _tell_repeated(sheet: Sheet, repeated: list[tuple[Node, Node]], book: Book, first_line: int) -> None:
    places = {id(node): place for place, node in book.keys.items()}
    for first, winner in repeated:
        line = first.start_mark.line + 1 + first_line
        message = f"written twice: LiteLLM takes this one, and not the one in line {line}"
        sheet.note("wrong", places.get(id(winner), ()), message, about=None)


def _as_note(problem: Problem, first_line: int) -> Note:
    message = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
    return Note(
        kind="wrong", file=problem.file, line=problem.line + first_line, column=problem.column, path=problem.path,
        message=message,
    )  # fmt: skip
