"""Samples out of what exporters and Prometheus answer: a name, labels, a finite value. Pure.

Only lines with wanted names are read, so that a page of ten thousand lines costs little and what else stands there
cannot do harm. The labels of a GPU stand on every line of it and in every answer, so they are taken apart once
(`prometheus_client.parser` takes forty times as long for a page). A line that is no sample is passed over.

Formats: https://prometheus.io/docs/instrumenting/exposition_formats/ (text 0.0.4),
https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from math import isfinite
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from hanok.errors import SourceError

LINE_LIMIT_BYTES = 16 * 1024
TEXT_LIMIT = 253
"""A name in Kubernetes is no longer."""
_LINE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t]*")
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_NAME_END = re.compile(rb"[{ \t]")


class Sample(NamedTuple):
    """One figure."""

    name: str
    labels: Mapping[str, str]
    value: float


class _Series(msgspec.Struct, frozen=True):
    metric: dict[str, str]
    value: tuple[float, str]


class _Answer(msgspec.Struct, frozen=True):
    status: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""


class _Vector(msgspec.Struct, frozen=True, tag_field="resultType", tag="vector"):
    result: list[_Series]


def read_page(page: bytes, names: Collection[str]) -> Iterator[Sample]:
    """The samples with these names on a page in Prometheus' text format."""
    wanted = {name.encode() for name in names}
    for line in page.splitlines():
        if line[:1] in (b"#", b"") or len(line) > LINE_LIMIT_BYTES or _NAME_END.split(line, 1)[0] not in wanted:
            continue
        found = _LINE.fullmatch(line.decode("utf-8", "replace"))
        value = _number(found[3]) if found else None
        if found and value is not None:
            yield Sample(found[1], _labels(found[2] or ""), value)


def read_answer(answer: bytes) -> Iterator[Sample]:
    """The samples in Prometheus' answer to an instant query. Raises `SourceError` when it is none, or a refusal."""
    try:
        told = msgspec.json.decode(answer, type=_Answer)
        if told.status != "success":
            raise SourceError(f"Prometheus refuses: {clean(told.error) or 'no reason told'}")
        vector = msgspec.json.decode(told.data, type=_Vector)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise SourceError(
            "this is no answer of Prometheus' API", hint="give its root, as http://prometheus:9090"
        ) from error
    for series in vector.result:
        value = _number(series.value[1])
        if value is not None:
            labels = {name: clean(text) for name, text in series.metric.items() if name != "__name__"}
            yield Sample(series.metric.get("__name__", ""), labels, value)


def clean(text: str) -> str:
    """Text of somebody else's, fit for a terminal: no control characters, not endless."""
    return "".join(each if each.isprintable() else "?" for each in text[:TEXT_LIMIT])


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


@lru_cache(maxsize=8192)
def _labels(text: str) -> Mapping[str, str]:
    return MappingProxyType({name: clean(_ESCAPE.sub(_unescaped, value)) for name, value in _LABEL.findall(text)})


def _unescaped(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]
