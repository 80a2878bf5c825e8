"""YAML of manifests: text in, documents with places out, and a finding for each that cannot be read.

A file is cut at its `---` lines first, so that one broken document does not hide the others, and lines stay known.
libyaml composes nodes; values are made of them as Kubernetes' own reader does (YAML 1.1 without dates and sexagesimals;
keys are text). Articles in Markdown give their fenced blocks.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hanok.preflight.findings import Finding, Rule
from hanok.spec.nodes import explain_syntax

UNREADABLE = Rule("HK001", "error", "a file that is not YAML", "mend it; nothing in this document was looked at")
TWICE = Rule("HK002", "error", "a key written twice", "keep one of them")
TEMPLATE = Rule(
    "HK003", "error", "a template that is not rendered", "render it first: `helm template . | hanok preflight -`"
)

DEPTH_LIMIT = 200
EXPANDED_LIMIT = 1_000_000
"""Values of one document, counting what each alias repeats."""
_BEGUN = 0
"""The size of a node whose parts are still being counted."""
EXPLAINED_BYTES = 512 * 1024
"""Of a text up to so long the pure Python parser is asked what is wrong with it: its words can be made plain."""
_CUT = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_JSON_CUT = re.compile(rf"{_CUT.pattern}|(?<=\}}\n)(?=\{{)", re.MULTILINE)
"""Between objects of JSON, too, one after the other, as `jq` prints them."""
_FENCE = re.compile(
    r"^( {0,3})(?P<mark>```+|~~~+)[ \t]*(?P<language>[\w+-]+)[^\n]*\n(?P<text>.*?)^ {0,3}(?P=mark)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_HELM = re.compile(r"\{\{-?\s*(?:\.|\$\.)?(?:Values|Release|Chart|Capabilities)\.|\{\{-?\s*(?:include|toYaml|tpl)\s")
_STRING, _SEQUENCE, _MAP = (f"tag:yaml.org,2002:{each}" for each in ("str", "seq", "map"))
_PLAIN = "plain"
"""The tag of a scalar without quotes and without a tag: what it stands for is said here, not by PyYAML."""
_BOOLEANS = {True: "y yes on true", False: "n no off false"}
_WORDS: Mapping[str, bool | None] = {
    form: value
    for value, words in _BOOLEANS.items()
    for word in words.split()
    for form in (word, word.title(), word.upper())
} | dict.fromkeys(("", "~", "null", "Null", "NULL"))
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[\da-fA-F_]+|[1-9][\d_]*|0)")
_FLOAT = re.compile(r"[-+]?(?:\.\d[\d_]*|\d[\d_]*(?:\.[\d_]*)?)(?:[eE][-+]?\d+)?")
_yaml: Any = yaml
"""PyYAML's functions have no types."""
_Fastest: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Fastest):
    """Leaves plain scalars as they are: asking PyYAML's patterns of each takes a third of the time.

    Nor does it keep the path that leads to each node, for which PyYAML may have patterns, too: it is told of every node
    and does nothing, quickest where that is not even Python.
    """

    descend_resolver = staticmethod(operator.is_)
    ascend_resolver = staticmethod(tuple)

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:  # noqa: ARG002 - PyYAML's signature
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else _STRING
        return _SEQUENCE if kind is SequenceNode else _MAP


@dataclass(frozen=True, kw_only=True)
class Document:
    """One document: its value, the node that knows the lines, and the lines of the file before it."""

    value: Any
    node: Node
    offset: int


@dataclass
class _Reading:
    """One document on its way from text to values."""

    file: str
    offset: int
    say: Callable[[Finding], None]
    sizes: dict[int, int] = field(default_factory=dict[int, int])
    made: dict[int, Any] = field(default_factory=dict[int, Any])


class _Refused(Exception):
    """This document cannot be read; why was said."""


def documents(text: str, file: str, say: Callable[[Finding], None], *, offset: int = 0) -> Iterator[Document]:
    """The documents of a text that can be read; what is wrong with the others is said."""
    for piece, before in pieces(text):
        reading = _Reading(file=file, offset=offset + before, say=say)
        try:
            node = _compose(piece, reading)
            if node is not None:
                if "&" in piece:  # without anchors nothing stands twice
                    _measure(node, reading)
                yield Document(value=_value(node, reading), node=node, offset=reading.offset)
        except _Refused:
            continue


def blocks(text: str) -> Iterator[tuple[str, str, int]]:
    """The fenced blocks of an article: language in lower case, text, and the lines before each."""
    for found in _FENCE.finditer(text):
        yield found["language"].lower(), found["text"], text.count("\n", 0, found.start("text"))


def pieces(text: str) -> Iterator[tuple[str, int]]:
    """The text cut before each `---`, and the lines before each piece."""
    between = _JSON_CUT if text.startswith("{") else _CUT
    cuts = [0, *(found.start() for found in between.finditer(text)), len(text)]
    line = 0
    for start, end in pairwise(cuts):
        piece = text[start:end]
        if piece.strip() and piece.strip() != "---":
            yield piece, line
        line += piece.count("\n")


def _compose(text: str, reading: _Reading) -> Node | None:
    """The root node; None for a document of comments alone. Raises `_Refused`."""
    if _may_be_deep(text) and _depth(text) > DEPTH_LIMIT:
        raise _refuse(UNREADABLE, 0, f"is nested more than {DEPTH_LIMIT} levels deep", reading)
    try:
        return cast("Node | None", _yaml.compose(text, Loader=_Loader))
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        if _HELM.search(text) or re.search(r"^\s*\{\{-?\s", text, re.MULTILINE):
            raise _refuse(TEMPLATE, _first_template(text), "this is a template, not a manifest", reading) from None
        line, message, hint = _explain(error, text)
        reading.say(UNREADABLE.at(reading.file, line + reading.offset, message, hint=hint))
        raise _Refused from None


def _explain(error: Exception, text: str) -> tuple[int, str, str]:
    """Line, message and hint for what the parser stumbled over."""
    if len(text) <= EXPLAINED_BYTES:
        try:
            for _ in _yaml.compose_all(text, Loader=yaml.SafeLoader):
                pass
        except yaml.MarkedYAMLError as plain:
            error = plain
        except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
            pass
    if isinstance(error, yaml.MarkedYAMLError):
        mark, message, hint = explain_syntax(error, text)
        if "<document start>" in str(error.problem):
            message, hint = "is not YAML: what stands here belongs to no document", "write `---` above it"
        return (mark.line + 1 if mark else 0), message, hint
    position = getattr(error, "position", None)
    if isinstance(position, int) and 0 <= position < len(text):
        line = text.count("\n", 0, position) + 1
        return line, f"is not YAML: the character U+{ord(text[position]):04X} is not allowed", "delete it"
    return 0, "is not YAML", UNREADABLE.hint


def _first_template(text: str) -> int:
    return text.count("\n", 0, max(0, text.find("{{"))) + 1


def _refuse(rule: Rule, line: int, message: str, reading: _Reading, hint: str | None = None) -> _Refused:
    reading.say(rule.at(reading.file, line + reading.offset if line else 0, message, hint=hint))
    return _Refused()


def _may_be_deep(text: str) -> bool:
    """Cheap, and never wrong when it says no: libyaml itself would overflow the stack."""
    openers = text.count("[") + text.count("{")
    compact = text.count("- - ") + text.count("? ")
    return openers > DEPTH_LIMIT or compact > DEPTH_LIMIT or f"\n{' ' * (DEPTH_LIMIT // 2)}" in text


def _depth(text: str) -> int:
    """The deepest nesting; parsing without composing needs no stack."""
    depth = deepest = 0
    try:
        for event in _yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                deepest = max(deepest, depth)
                if deepest > DEPTH_LIMIT:
                    break
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except (yaml.YAMLError, ValueError, OverflowError):
        pass  # composing says it with a place
    return deepest


def _measure(node: Node, reading: _Reading) -> int:
    """How many values a node stands for. Raises `_Refused` for nodes that hold themselves, and for bombs of aliases."""
    key = id(node)
    size = reading.sizes.get(key)
    if size == _BEGUN:
        raise _refuse(UNREADABLE, node.start_mark.line + 1, "refers to itself", reading, "take the alias `*…` out")
    if size is None:
        reading.sizes[key] = _BEGUN
        size = 1
        for each in _below(node):
            size += 1 if isinstance(each, ScalarNode) else _measure(each, reading)
        reading.sizes[key] = size
        if size > EXPANDED_LIMIT:
            message = f"repeats too much: more than {EXPANDED_LIMIT:,} values, counting what each alias `*…` repeats"
            raise _refuse(UNREADABLE, node.start_mark.line + 1, message, reading, "write fewer aliases, or split it")
    return size


def _below(node: Node) -> Iterator[Node]:
    """The nodes of which this one is made."""
    if isinstance(node, SequenceNode):
        yield from cast("list[Node]", node.value)
    elif isinstance(node, MappingNode):
        for pair in cast("list[tuple[Node, Node]]", node.value):
            yield from pair


def _value(node: Node, reading: _Reading) -> Any:
    """What a node stands for; one mapping or list wherever an alias repeats it."""
    if isinstance(node, ScalarNode):
        return scalar(node)
    key = id(node)
    if key not in reading.made:
        if isinstance(node, SequenceNode):
            reading.made[key] = [_value(each, reading) for each in cast("list[Node]", node.value)]
        else:
            reading.made[key] = _mapping(cast("MappingNode", node), reading)
    return reading.made[key]


def _mapping(node: MappingNode, reading: _Reading) -> dict[str, Any]:
    """A mapping, merges (`<<`) filled in. Raises `_Refused` for keys that are no text: an unrendered template."""
    found: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key, value in cast("list[tuple[Node, Node]]", node.value):
        line = key.start_mark.line + 1
        if not isinstance(key, ScalarNode):
            told = (TEMPLATE, "this is a template, not a manifest"), (UNREADABLE, "a key is not text")
            rule, message = told[0 if node.flow_style else 1]  # `{{ .Values.name }}` is a mapping in a mapping
            raise _refuse(rule, line, message, reading)
        name = str(key.value)
        if name == "<<" and key.tag == _PLAIN:
            merged = {**_merged(_value(value, reading)), **merged}
        elif name in lines:
            first = lines[name] + reading.offset
            message = f"`{name}` is written twice; first in line {first}"
            hint = "keep one of them; or put `---` before the second object" if name == "apiVersion" else None
            reading.say(TWICE.at(reading.file, line + reading.offset, message, hint=hint))
        else:
            lines[name] = line
            found[name] = _value(value, reading)
    return {**merged, **found} if merged else found


def _merged(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    found: dict[str, Any] = {}
    for each in reversed(cast("list[Any]", value) if isinstance(value, list) else []):
        found |= cast("dict[str, Any]", each) if isinstance(each, dict) else {}
    return found


def scalar(node: ScalarNode) -> Any:
    """The value of a scalar, as Kubernetes reads it: tags other than `!!str` say nothing, and dates are text."""
    text = str(node.value)
    if node.style in ("'", '"', "|", ">") or node.tag == _STRING:
        return text
    if text in _WORDS:
        return _WORDS[text]
    return _number(text) if text[0] in "+-.0123456789" else text


def _number(text: str) -> Any:
    plain = text.replace("_", "")
    if _INTEGER.fullmatch(text) and len(plain) <= 64:
        return _whole(plain.lower(), text)
    if _FLOAT.fullmatch(text) and len(plain) <= 64:
        return float(plain)
    if re.fullmatch(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", text):
        return float(text.replace(".", ""))
    return text


def _whole(plain: str, text: str) -> Any:
    sign, digits = (-1 if plain.startswith("-") else 1), plain.lstrip("+-")
    try:
        return sign * (int(digits, 8) if re.fullmatch(r"0[0-7]+", digits) else int(digits, 0))
    except ValueError:
        return text


def read_mapping(text: str) -> Mapping[str, Any]:
    """A YAML text inside of a manifest (a ConfigMap's file), as a mapping; an empty one where it is none."""
    for document in documents(text, "", lambda _: None):
        value = document.value
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    return {}
