"""YAML as nodes: where every value and key stands in the file, and what in it is no plain YAML.

PyYAML composes the nodes; this walks them before anything is made of them, so that each mistake can be told at its
line and column, and so that cycles, bombs of aliases and strange tags never get further.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml
from yaml.composer import ComposerError
from yaml.constructor import SafeConstructor
from yaml.error import Mark
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError
from yaml.resolver import Resolver

from hanok.errors import Problem, SpecError
from hanok.spec.checks import quoted

DEPTH_LIMIT = 64
NODE_LIMIT = 50_000
_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
NOT_TEXT = re.compile("[\0\ud800-\udfff]")
_TAG = "tag:yaml.org,2002:"
_TEXT, _LIST, _MAP, _MERGE = f"{_TAG}str", f"{_TAG}seq", f"{_TAG}map", f"{_TAG}merge"
_SCALARS = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "timestamp")}
_TOO_DEEP = ("is nested too deeply", "a platform needs fewer than ten levels")
_TOO_MANY = ("repeats too much", f"at most {NODE_LIMIT} values, counting what each alias `*…` repeats")
Place = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with tables of its own so that nothing registered elsewhere leaks in, and with limits."""

    yaml_constructors = dict(cast("dict[Any, Any]", SafeConstructor.yaml_constructors))  # noqa: RUF012 - PyYAML's way
    yaml_multi_constructors = {}  # noqa: RUF012
    yaml_implicit_resolvers = dict(Resolver.yaml_implicit_resolvers)  # noqa: RUF012
    depth = count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth, self.count = self.depth + 1, self.count + 1
        if self.depth > DEPTH_LIMIT:
            raise ComposerError(None, None, _TOO_DEEP[0], cast("Any", self).peek_event().start_mark)
        if self.count > NODE_LIMIT:
            raise ComposerError(None, None, _TOO_MANY[0], cast("Any", self).peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


@dataclass
class Book:
    """What is known of the file on the way: where values and keys stand, and what is wrong."""

    file: Path
    places: dict[Place, Node] = field(default_factory=dict[Place, Node])
    keys: dict[Place, Node] = field(default_factory=dict[Place, Node])
    written: dict[str, str] = field(default_factory=dict[str, str])
    """Values with variables filled in, to how they stand in the file: messages show only that."""
    blamed: set[Place] = field(default_factory=set[Place])
    problems: list[Problem] = field(default_factory=list[Problem])
    unset: dict[Place, list[Problem]] = field(default_factory=dict[Place, list[Problem]])
    """Values whose variable is not set, where that is let pass."""

    def blame(self, mark: Mark, place: Place, message: str, hint: str, *, beneath: Place | None = None) -> None:
        """Note a problem; nothing at or beneath the place is looked at any more: one mistake, one problem."""
        self.problems.append(problem(self.file, mark.line + 1, mark.column + 1, place, message, hint))
        self.blamed.add(place if beneath is None else beneath)

    def is_blamed(self, place: Place) -> bool:
        return any(place[:length] in self.blamed for length in range(len(place) + 1))


def compose(text: str, file: Path) -> MappingNode:
    loader: Any = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark, message, hint = explain_syntax(error, text)
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise SpecError([problem(file, line, column, (), message, hint)]) from None
    except ReaderError as error:
        line, column = position(text[: error.position])
        message = f"is not YAML: the character U+{ord(text[error.position]):04X} is not allowed"
        raise SpecError([problem(file, line, column, (), message, "delete it, and save the file as UTF-8")]) from None
    except (ValueError, OverflowError):  # from an escape such as "\Uffffffff", or %YAML with an endless number
        message, hint = "is not YAML: no such character", "look at the `\\U…` just before"
        raise SpecError([problem(file, loader.line + 1, loader.column + 1, (), message, hint)]) from None
    finally:
        if loader:
            loader.dispose()
    if node is None or node.tag == f"{_TAG}null":
        raise SpecError([problem(file, 0, 0, (), "is empty", "write a starter over it with `hanok init --force`")])
    if not isinstance(node, MappingNode):
        hint = "it begins with keys such as `name:` and `models:`"
        mark = node.start_mark
        raise SpecError([problem(file, mark.line + 1, mark.column + 1, (), "is not a mapping of keys", hint)])
    return node


def explain_syntax(error: yaml.MarkedYAMLError, text: str) -> tuple[Mark | None, str, str]:
    """Where and how to tell a mistake of YAML itself, and what to do about it."""
    said, context = str(error.problem or ""), str(error.context or "")
    for limit in (_TOO_DEEP, _TOO_MANY):
        if said == limit[0]:
            return error.problem_mark, limit[0], limit[1]
    told: list[tuple[bool, bool, str, str]] = [  # whether it is this, whether to point at where it began, words, hint
        ("'\\t'" in said, False, "a tab where only spaces may stand", "indent with spaces"),
        (
            "quoted scalar" in context and ("end of stream" in said or "document separator" in said),
            True, "the quote that opens here is never closed", "close it with the same kind of quote",
        ),
        (
            "flow" in context and "<stream end>" in said,
            not said.startswith("expected the node"), "a bracket is still open where the file ends",
            "close `[` with `]` and `{` with `}`",
        ),
        (
            "flow" in context and "'{'" in said and "${" in text,
            False, "a `{` that does not belong here", "inside [ ] and { }, put `${env:NAME}` in quotes",
        ),
        ("another document" in said, False, "a second document", "keep one here; a file holds one platform"),
        ("could not find expected ':'" in said, True, "no `:` after this key", "write `key: value`"),
        (
            "mapping values are not allowed" in said,
            False, "no `: ` may stand here", "check the indentation, and put text that holds `: ` in quotes",
        ),
        (
            "sequence entries are not allowed" in said,
            False, "no list may begin here", "begin the list in a new line",
        ),
        (
            "expected <block end>" in said,
            False, "this does not fit the lines above", "check the indentation, quotes and brackets from there to here",
        ),
        (
            "undefined alias" in said,
            False, said.replace("found undefined alias", "nothing is called"),
            "give a value that name with `&`, or put text that begins with `*` in quotes",
        ),
        ("second occurrence" in said, False, "an anchor `&` whose name is taken", "give it another name"),
        (
            "cannot start any token" in said or "alphabetic or numeric" in said,
            False, said, "put the value in quotes",
        ),
        (True, False, said or context, "check the indentation, quotes and brackets here"),
    ]  # fmt: skip
    _, began, words, hint = next(each for each in told if each[0])
    mark = (error.context_mark if began else error.problem_mark) or error.problem_mark or error.context_mark
    return mark, f"is not YAML: {words}", hint


def walk(node: Node, place: Place, book: Book, above: list[Node]) -> None:
    """Note where every value and key stands; find and take out what is no plain YAML on the way.

    Raises `SpecError` for cycles and bombs of aliases: no further look at such a file is possible.
    """
    book.places.setdefault(place, node)
    mark = node.start_mark
    if node in above:
        raise SpecError([problem(book.file, mark.line + 1, mark.column + 1, place, "refers to itself",
                                  "take the alias `*…` in it out")])  # fmt: skip
    for limit, exceeded in ((_TOO_DEEP, len(above) > DEPTH_LIMIT), (_TOO_MANY, len(book.places) > NODE_LIMIT)):
        if exceeded:
            raise SpecError([problem(book.file, mark.line + 1, mark.column + 1, place[:1], *limit)])
    if isinstance(node, ScalarNode):
        _walk_scalar(node, place, book)
        return
    plain = _LIST if isinstance(node, SequenceNode) else _MAP
    if node.tag != plain:
        _blame_tag(node, place, book)
        node.tag = plain
    if isinstance(node, SequenceNode):
        for index, item in enumerate(cast("list[Node]", node.value)):
            walk(item, (*place, index), book, [*above, node])
    else:
        node.value = list(_walk_pairs(cast("MappingNode", node), place, book, [*above, node]))


def _walk_pairs(node: MappingNode, place: Place, book: Book, above: list[Node]) -> Iterator[tuple[Node, Node]]:
    """The pairs of a mapping that are sound."""
    seen: dict[str, Node] = {}
    merged: list[Node] = []
    for key, value in cast("list[tuple[Node, Node]]", node.value):
        if key.tag == _MERGE:
            sources = _sources(value)
            if not _are_mappings(sources, value, place, book):
                continue
            walk(value, (*place, "<<"), book, above)
            merged += sources
        else:
            name = _key_name(key, seen, place, book)
            if name is None:
                continue
            seen[name] = key
            book.keys[(*place, name)] = key
            walk(value, (*place, name), book, above)
        yield key, value
    for source in merged:
        _note_merged(source, place, book, above)


def _sources(value: Node) -> list[Node]:
    """What `<<` takes over: one mapping, or several."""
    return cast("list[Node]", value.value) if isinstance(value, SequenceNode) else [value]


def _are_mappings(sources: list[Node], value: Node, place: Place, book: Book) -> bool:
    if all(isinstance(each, MappingNode) for each in sources):
        return True
    message, hint = "`<<` takes a mapping, or a list of them", "write `<<: *name` of an anchor `&name`"
    book.blame(value.start_mark, (*place, "<<"), message, hint, beneath=place)
    return False


def _key_name(key: Node, seen: Mapping[str, Node], place: Place, book: Book) -> str | None:
    """What the key is called; None, and a problem in the book, for one that cannot stand in a platform."""
    mark = key.start_mark
    if not isinstance(key, ScalarNode):
        message = "a key must be text, not a list or a mapping"
        book.blame(mark, place, message, "write `key: value`", beneath=(*place, "?"))
        return None
    if key.tag != _TEXT:
        shown = str(key.value) or "null"
        message = f"key {quoted(shown)} is not text"
        book.blame(mark, (*place, shown), message, "put it in quotes", beneath=(*place, shown, ""))
        return None
    name = str(key.value)
    if found := NOT_TEXT.search(name):
        message = f"the key holds U+{ord(found.group()):04X}, which is not a character of text"
        book.blame(mark, place, message, "take it out", beneath=(*place, name))
        return None
    if name in seen:
        first = seen[name].start_mark.line + 1
        message = f"key {quoted(name)} is written twice; the first is in line {first}"
        book.blame(mark, (*place, name), message, "keep one of them", beneath=(*place, name, ""))
        return None
    return name


def _note_merged(source: Node, place: Place, book: Book, above: list[Node]) -> None:
    for key, value in cast("list[tuple[Node, Node]]", source.value):
        if key.tag == _MERGE:
            for each in _sources(value):
                _note_merged(each, place, book, above)
        elif (*place, key.value) not in book.places:
            book.keys.setdefault((*place, key.value), key)
            walk(value, (*place, key.value), book, above)


def _walk_scalar(node: ScalarNode, place: Place, book: Book) -> None:
    value = str(node.value)
    if node.tag == f"{_TAG}value":
        node.tag = _TEXT
    if node.tag not in _SCALARS:
        _blame_tag(node, place, book)
    elif found := NOT_TEXT.search(value):
        message = f"holds U+{ord(found.group()):04X}, which is not a character of text"
        book.blame(node.start_mark, place, message, "take it out")
    elif node.tag != _TEXT:
        loader: Any = _Loader("")
        try:
            loader.construct_object(node)
        except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            kind = {"timestamp": "a date", "bool": "true or false"}.get(node.tag.removeprefix(_TAG), "a number")
            book.blame(node.start_mark, place, f"is written like {kind}, and is none", "put text in quotes")
            node.tag = _TEXT
        finally:
            loader.dispose()
    if book.is_blamed(place):
        node.tag = _TEXT


def _blame_tag(node: Node, place: Place, book: Book) -> None:
    hint = "write the value without a tag; secrets come in as `${env:NAME}`"
    book.blame(node.start_mark, place, f"the tag {quoted(node.tag.replace(_TAG, '!!'))} is not known", hint)


def construct(root: MappingNode, file: Path) -> Any:
    loader: Any = _Loader("")
    try:
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise SpecError([problem(file, line, column, (), f"is not plain YAML: {error.problem}")]) from None
    finally:
        loader.dispose()


def position(before: str) -> tuple[int, int]:
    """Line and column, from 1, of the character after this text."""
    ends = [match.end() for match in _LINE_END.finditer(before)]
    return len(ends) + 1, len(before) - (ends[-1] if ends else 0) + 1


def where(place: Place, places: Mapping[Place, Node]) -> tuple[int, int]:
    while place and place not in places:
        place = place[:-1]
    mark = places[place].start_mark if place in places else None
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def problem(file: Path, line: int, column: int, place: Place, message: str, hint: str | None = None) -> Problem:
    return Problem(file=str(file), line=line, column=column, path=dotted(place), message=message, hint=hint)


def dotted(place: Place) -> str:
    """`("models", 0, "serve")` as `models[0].serve`; keys that are no plain words in quotes: `headers['a b']`."""
    text = ""
    for step in place:
        if isinstance(step, int) or not re.fullmatch(r"[\w$<-]{1,60}", step):
            text += f"[{step if isinstance(step, int) else quoted(step)}]"
        else:
            text += f".{step}" if text else step
    return text
