"""A trace: when calls came, and how many tokens they had. Three forms are known by their first line.

Mooncake's JSON lines (`timestamp` in milliseconds, `input_length`, `output_length`), Azure's CSV (`TIMESTAMP`,
`ContextTokens`, `GeneratedTokens`), and a plain one, CSV or JSON lines, of `time_s`, `input_tokens`, `output_tokens`.
Pure: lines in, calls out.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any, cast

from hanok.errors import PlanError

FORMS = "time_s, input_tokens, output_tokens (CSV or JSON lines), or a trace of Mooncake or Azure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a trace: seconds from its beginning, and tokens."""

    at_s: float
    prompt: int
    output: int

    @property
    def tokens(self) -> int:
        return self.prompt + self.output


Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Form:
    """Names of a form's columns, and what its times are in seconds."""

    names: tuple[str, str, str]
    seconds: Callable[[Any], float]


def _instant(written: Any) -> float:
    return datetime.fromisoformat(str(written)[:26]).timestamp()


LONGEST_S = 366 * 86_400.0
"""From the first call to the last: every step of the time between is walked through."""
_FORMS = (
    _Form(names=("time_s", "input_tokens", "output_tokens"), seconds=float),
    _Form(names=("timestamp", "input_length", "output_length"), seconds=lambda value: float(value) / 1000),
    _Form(names=("TIMESTAMP", "ContextTokens", "GeneratedTokens"), seconds=_instant),
)


def parse(lines: Iterable[str], *, name: str) -> list[Call]:
    """The calls of a trace, its first at 0 s. `name` is said in errors.

    Raises `PlanError` with the line where the trace is empty, of no known form, out of order, or has a call without a
    token to answer.
    """
    rows = _rows(lines, name)
    calls: list[Call] = []
    form: _Form | None = None
    first = 0.0
    for number, row in rows:
        form = form or _form_of(row, name)
        call = _call(row, form, f"{name}:{number}")
        first = first if calls else call.at_s
        call = replace(call, at_s=call.at_s - first)
        if calls and call.at_s < calls[-1].at_s:
            raise PlanError(f"{name}:{number}: this call comes before the one above it", hint="sort the trace by time")
        if call.at_s > LONGEST_S:
            message = f"{name}:{number}: this call comes {call.at_s / 86_400:,.0f} days after the first"
            raise PlanError(message, hint="a trace is of a year at most; are its times in seconds?")
        calls.append(call)
    if not calls:
        raise PlanError(f"{name} has no calls", hint=f"a trace has lines of {FORMS}")
    return _spread(calls)


def _rows(lines: Iterable[str], name: str) -> Iterator[tuple[int, Row]]:
    """Rows with the numbers of their lines: JSON objects, or CSV below a line of names."""
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    head = next(numbered, None)
    if head is None:
        return
    if head[1].lstrip().startswith("{"):
        yield head[0], _object(head[1], f"{name}:{head[0]}")
        yield from ((number, _object(line, f"{name}:{number}")) for number, line in numbered)
        return
    columns = [each.strip() for each in _cells(head[1], f"{name}:{head[0]}")]
    for number, line in numbered:
        yield number, dict(zip(columns, _cells(line, f"{name}:{number}"), strict=False))


def _cells(line: str, place: str) -> list[str]:
    try:
        return next(csv.reader([line]))
    except csv.Error:
        raise PlanError(f"{place}: not a line of CSV", hint=f"a trace has lines of {FORMS}") from None


def _object(line: str, place: str) -> Row:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise PlanError(f"{place}: not a JSON object", hint=f"a trace has lines of {FORMS}")
    return cast("Row", found)


def _form_of(row: Row, name: str) -> _Form:
    found = next((form for form in _FORMS if set(form.names) <= set(row)), None)
    if found is None:
        columns = ", ".join(str(each) for each in list(row)[:6])
        raise PlanError(f"{name} is a trace of no known form: it has {columns[:200]}", hint=f"known are {FORMS}")
    return found


def _call(row: Row, form: _Form, place: str) -> Call:
    time, prompt, output = form.names
    try:
        call = Call(at_s=form.seconds(row[time]), prompt=_whole(row[prompt]), output=_whole(row[output]))
    except (KeyError, TypeError, ValueError, OverflowError):
        told = ", ".join(f"{each} {row.get(each)!r}" for each in form.names)
        raise PlanError(f"{place}: this is no call: {told[:200]}", hint="times and tokens are numbers") from None
    if call.prompt < 0 or call.output < 0:
        raise PlanError(f"{place}: {min(call.prompt, call.output)} tokens", hint="tokens are 0 or more")
    if not abs(call.at_s) < 1e12:
        raise PlanError(f"{place}: the time is {call.at_s:g}", hint="times are seconds that can be reckoned with")
    return replace(call, prompt=max(1, call.prompt), output=max(1, call.output))


def _whole(value: Any) -> int:
    number = float(value)
    if number != int(number):
        raise ValueError(value)
    return int(number)


def _spread(calls: Sequence[Call]) -> list[Call]:
    """Calls of a trace whose clock ticks in coarse steps, evenly over the step that they came in."""
    ticks = sorted({call.at_s for call in calls})
    gap = min((after - before for before, after in pairwise(ticks)), default=0.0)
    if len(ticks) > len(calls) / 2 or not gap:
        return list(calls)
    together: dict[float, list[Call]] = {}
    for call in calls:
        together.setdefault(call.at_s, []).append(call)
    return [
        replace(call, at_s=tick + gap * place / len(group))
        for tick, group in together.items()
        for place, call in enumerate(group)
    ]


def select(
    calls: Sequence[Call], *, hours: float | None = None, speed: float = 1.0, per_s: float | None = None
) -> list[Call]:
    """The first `hours` of a trace, `speed` times as dense; or so dense that `per_s` calls come in a second."""
    kept = [call for call in calls if hours is None or call.at_s <= hours * 3600]
    lasts = kept[-1].at_s
    if per_s is not None and lasts:
        speed = per_s * lasts / len(kept)
    return [replace(call, at_s=call.at_s / speed) for call in kept]
