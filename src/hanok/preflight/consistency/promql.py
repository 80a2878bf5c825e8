"""PromQL read into what it asks for: each metric with its labels, what it is compared with, how it is grouped.

`promql-parser` does the reading. Where it is not installed, nothing is read, and that is said once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

_DASHBOARD = (
    (re.compile(r"\$__(?:rate_interval|interval|range)\b|\$\{__(?:rate_interval|interval|range)\}"), "5m"),
    (re.compile(r"\[\$\{?\w+(?::\w+)?\}?\]"), "[5m]"),
    (re.compile(r"\[\$\{?\w+(?::\w+)?\}?:"), "[5m:"),
    (re.compile(r"\$\{\w+(?::\w+)?\}|\$\w+|\[\[\w+\]\]"), "1"),
)
"""Variables of Grafana, and what stands in for them so that the rest can be read. In quotes they are harmless."""
_UNFIT = re.compile(r"(?:label_values|query_result|label_names|metrics)\s*\(")


@dataclass(frozen=True, kw_only=True)
class Selector:
    """One metric that an expression asks for."""

    name: str
    labels: Sequence[str]
    """The labels that it is picked by."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A metric alone on one side of a comparison, and the number on the other."""

    name: str
    operator: str
    number: float


@dataclass(frozen=True, kw_only=True)
class Query:
    """What an expression asks for; `wrong` is what the parser has against it."""

    selectors: Sequence[Selector] = ()
    grouped: Sequence[str] = ()
    """The labels that sums and the like are made by."""
    compared: Sequence[Compared] = ()
    wrong: str = ""


def load_parser() -> Any:
    """The module; None where it is not installed."""
    try:
        import promql_parser
    except ImportError:
        return None
    return promql_parser


def read_query(text: str, *, dashboard: bool = False) -> Query | None:
    """The query in a text; None where there is no parser, or the text is no query but a dashboard's own function."""
    parser: Any = load_parser()
    if parser is None or not text.strip() or (dashboard and _UNFIT.match(text.strip())):
        return None
    for pattern, stand_in in _DASHBOARD if dashboard else ():
        text = pattern.sub(stand_in, text)
    return _read(text)


@cache
def _read(text: str) -> Query:
    parser: Any = load_parser()
    try:
        tree = parser.parse(text)
    except ValueError as error:
        return Query(wrong=str(error).split("\n")[0])
    selectors: list[Selector] = []
    grouped: list[str] = []
    compared: list[Compared] = []
    for node in _nodes(tree):
        kind = type(node).__name__
        if kind == "VectorSelector":
            selectors.append(_selector(node))
        elif kind == "AggregateExpr" and node.modifier is not None and str(node.modifier.type).endswith("By"):
            grouped += [str(each) for each in node.modifier.labels]
        elif kind == "BinaryExpr":
            compared += _compared(node)
    return Query(selectors=selectors, grouped=grouped, compared=compared)


def _selector(node: Any) -> Selector:
    matchers = [*node.matchers.matchers, *(each for group in node.matchers.or_matchers for each in group)]
    named = [each.value for each in matchers if each.name == "__name__" and str(each.op) == "MatchOp.Equal"]
    labels = [str(each.name) for each in matchers if each.name != "__name__"]
    return Selector(name=node.name or (named[0] if named else ""), labels=labels)


def _compared(node: Any) -> Iterator[Compared]:
    operator = str(node.op)
    left, right = _bare(node.lhs), node.rhs
    if operator in (">", ">=", "<", "<=") and left and type(right).__name__ == "NumberLiteral":
        yield Compared(name=left, operator=operator, number=float(right.val))


def _bare(node: Any) -> str:
    """The one metric that a side is about, whatever is made of it; empty where it is reckoned with others."""
    while type(node).__name__ in ("ParenExpr", "AggregateExpr", "SubqueryExpr"):
        node = node.expr
    if type(node).__name__ == "Call" and str(node.func.name).endswith("_over_time"):
        return _bare(node.args[-1])
    if type(node).__name__ == "MatrixSelector":
        node = node.vector_selector
    return _selector(node).name if type(node).__name__ == "VectorSelector" else ""


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        below = getattr(node, name, None)
        if below is not None:
            yield from _nodes(below)
    for below in getattr(node, "args", None) or ():
        yield from _nodes(below)
