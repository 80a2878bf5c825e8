"""Values to rows and back. What is looked for has columns of its own; the rest is JSON text, read by msgspec.

A run's row has two such texts: `form`, which never changes, and `standing`, which each step writes anew. They are text
in PostgreSQL, too: its JSONB takes no U+0000, which tools do answer with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import msgspec

from hanok.agents.values import Bounds, Event, Message, Receipt, Run, Thread, Used
from hanok.errors import Overloaded, Unknown
from hanok.wire import Caller

RETRY_AFTER_S = 5.0
RUN = "id, state, wish, attempt, lease_by, lease_until, form, standing"
THREAD = "id, tenant, user_name, agent, metadata, created_at, used_at"
EVENT = "run, seq, type, data, at"
RECEIPT = "run, key, kind, state, result, at"


class _Form(msgspec.Struct, omit_defaults=True):
    """What of a run never changes."""

    path: str
    agent: str
    thread: str
    caller: Caller
    input: tuple[Message, ...]
    bounds: Bounds
    parent: str | None
    checkpoint: str | None
    metadata: dict[str, Any]
    created_at: float
    prompt: str | None = None


class _Standing(msgspec.Struct, omit_defaults=True):
    """What does."""

    used: Used = Used()
    answer: str | None = None
    reason: str | None = None
    error: str | None = None
    wanted: dict[str, dict[str, Any]] = {}
    answers: dict[str, dict[str, Any]] = {}
    takeovers: int = 0
    reached: str | None = None
    let_go: int = 0
    started_at: float | None = None
    ended_at: float | None = None


_FORM = _Form.__struct_fields__
_STANDING = _Standing.__struct_fields__
_read_form = msgspec.json.Decoder(_Form).decode
_read_standing = msgspec.json.Decoder(_Standing).decode
_read_object = msgspec.json.Decoder(dict[str, Any]).decode
_write = msgspec.json.Encoder(enc_hook=str).encode


def as_json(value: object) -> str:
    """JSON text. What JSON does not know is written as its text, halves of characters as `?`."""
    try:
        return _write(value).decode()
    except UnicodeEncodeError:
        return _write(_mended(msgspec.to_builtins(value, enc_hook=str))).decode()


def read_object(text: str) -> dict[str, Any]:
    """A JSON object."""
    return _read_object(text)


def form_of(run: Run) -> str:
    """What of a run never changes, as JSON."""
    return as_json(_Form(**{name: getattr(run, name) for name in _FORM}))


def standing_of(run: Run) -> str:
    """What of a run changes and is not looked for, as JSON."""
    return as_json(_Standing(**{name: getattr(run, name) for name in _STANDING}))


def read_run(row: Sequence[Any]) -> Run:
    """A run of its columns `RUN`."""
    id_, state, wish, attempt, lease_by, lease_until, form, standing = row
    return Run(
        id=id_,
        state=state,
        wish=wish,
        attempt=attempt,
        lease_by=lease_by,
        lease_until=lease_until,
        **_fields(_read_form(form), _FORM),
        **_fields(_read_standing(standing), _STANDING),
    )


def thread_row(thread: Thread) -> tuple[Any, ...]:
    """A thread's columns `THREAD`."""
    return (
        thread.id,
        thread.tenant,
        thread.user,
        thread.agent,
        metadata_text(thread.metadata),
        thread.created_at,
        thread.used_at,
    )


def metadata_text(metadata: Mapping[str, Any]) -> str:
    """A thread's metadata as JSON that can be searched: without U+0000."""
    text = as_json(metadata)
    return as_json(_without_nul(read_object(text))) if "\\u0000" in text else text


def read_thread(row: Sequence[Any]) -> Thread:
    """A thread of its columns `THREAD`."""
    id_, tenant, user, agent, metadata, created_at, used_at = row
    return Thread(
        id=id_,
        tenant=tenant,
        user=user,
        agent=agent,
        metadata=read_object(metadata),
        created_at=created_at,
        used_at=used_at,
    )


def event_row(event: Event) -> tuple[Any, ...]:
    """An event's columns `EVENT`."""
    return event.run, event.seq, event.type, as_json(event.data), event.at


def read_event(row: Sequence[Any]) -> Event:
    """An event of its columns `EVENT`."""
    run, seq, type_, data, at = row
    return Event(run=run, seq=seq, type=type_, data=read_object(data), at=at)


def receipt_row(receipt: Receipt) -> tuple[Any, ...]:
    """A receipt's columns `RECEIPT`."""
    result = None if receipt.result is None else as_json(receipt.result)
    return receipt.run, receipt.key, receipt.kind, receipt.state, result, receipt.at


def read_receipt(row: Sequence[Any]) -> Receipt:
    """A receipt of its columns `RECEIPT`."""
    run, key, kind, state, result, at = row
    return Receipt(
        run=run, key=key, kind=kind, state=state, result=None if result is None else read_object(result), at=at
    )


def has_fields(text: str, fields: str) -> bool:
    """Whether a JSON object has these fields, each the same."""
    found = read_object(text)
    return all(key in found and _same(found[key], value) for key, value in read_object(fields).items())


def last_of(path: str | None) -> str | None:
    """The id of the run at a path's end."""
    return None if path is None else path.rpartition("/")[2]


def answered(run: Run, answers: Mapping[str, dict[str, Any]]) -> Run | None:
    """A waiting run with these answers to what it wants, queued when it has them all; None where it wants none."""
    fresh = {key: answers[key] for key in run.wanted if key in answers and key not in run.answers}
    if run.state != "waiting" or not fresh:
        return None
    run = replace(run, answers={**run.answers, **fresh})
    return replace(run, state="queued") if run.wanted.keys() <= run.answers.keys() else run


def _same(one: Any, other: Any) -> bool:
    """`==` that tells `true` from 1."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        ours, theirs = cast("Mapping[str, Any]", one), cast("Mapping[str, Any]", other)
        return ours.keys() == theirs.keys() and all(_same(value, theirs[key]) for key, value in ours.items())
    if isinstance(one, list) and isinstance(other, list):
        ours_, theirs_ = cast("Sequence[Any]", one), cast("Sequence[Any]", other)
        return len(ours_) == len(theirs_) and all(map(_same, ours_, theirs_))
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _fields(value: msgspec.Struct, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def _mended(value: Any) -> Any:
    """The same without lone surrogates, which UTF-8 cannot write."""
    return _mapped(value, lambda text: text.encode("utf-8", "replace").decode())


def _without_nul(value: Any) -> Any:
    return _mapped(value, lambda text: text.replace("\0", "\ufffd"))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A value of JSON with each text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {_mapped(key, change): _mapped(each, change) for key, each in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_mapped(each, change) for each in cast("list[Any]", value)]
    return value


def full_queue(queue: int | None) -> Overloaded:
    """What is raised where so many runs wait that no more is taken."""
    return Overloaded(f"{queue} runs wait already", code="queue_full", retry_after_s=RETRY_AFTER_S)


def no_such_run(id_: str) -> Unknown:
    """What is raised where there is none of that id, or one of another tenant."""
    return Unknown(f"there is no run {id_!r}", code="run_not_found")
