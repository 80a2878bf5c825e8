"""Runs, threads, events and receipts as the fields that scripts take and give: None is an empty text, or no field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from hanok.agents.stores.rows import (
    as_json,
    form_of,
    last_of,
    metadata_text,
    read_object,
    read_receipt,
    read_run,
    read_thread,
    receipt_row,
    standing_of,
)
from hanok.agents.values import Event, Receipt, Run, Thread

_read_list = msgspec.json.Decoder(list[Any]).decode


def text_of(value: Any) -> Any:
    """A value, or an empty text."""
    return "" if value is None else value


def several(values: Iterable[Sequence[Any]]) -> list[Any]:
    """How many there are, and the fields of each."""
    every = list(values)
    return [len(every), *(field for each in every for field in each)]


def each_alone(values: Iterable[Any]) -> list[Any]:
    """The same of values of one field."""
    return several((value,) for value in values)


def thread_fields(thread: Thread) -> list[Any]:
    fields = {
        "tenant": thread.tenant,
        "user": thread.user,
        "agent": thread.agent,
        "metadata": metadata_text(thread.metadata),
        "created_at": thread.created_at,
    }
    return [thread.id, thread.tenant, thread.used_at, *_pairs(fields)]


def read_thread_row(row: Sequence[Any]) -> Thread:
    id_, tenant, user, agent, metadata, created_at, used_at = row
    texts = (_text(each) for each in (id_, tenant, user, agent))
    return read_thread((*texts, metadata, float(created_at), float(used_at)))


def added_fields(run: Run) -> list[Any]:
    """A run as it is added: queued, whatever it was."""
    parent = last_of(run.parent)
    fields = {
        "path": run.path,
        "tenant": run.tenant,
        "agent": run.agent,
        "thread": run.thread,
        "parent": parent,
        "state": "queued",
        "attempt": 0,
        "lease_until": 0,
        "form": form_of(run),
        "standing": standing_of(run),
    }
    return [run.id, run.tenant, run.thread, text_of(parent), run.created_at, *_pairs(fields)]


def saved_fields(run: Run) -> list[Any]:
    """What changes of a run."""
    ended_at = run.ended_at if run.ended else None
    return [run.id, run.state, standing_of(run), text_of(ended_at), text_of(run.wish)]


def read_run_row(row: Sequence[Any]) -> Run:
    id_, state, wish, attempt, lease_by, lease_until, form, standing = row
    id_, state, wish, lease_by = map(_text, (id_, state, wish, lease_by))
    return read_run((id_, state, wish, int(attempt), lease_by, float(lease_until), form, standing))


def event_fields(event: Event) -> list[Any]:
    return [event.run, event.seq, f"{event.type}\n{event.at!r}\n{as_json(event.data)}"]


def read_event_text(run: str, text: bytes) -> Event:
    seq, type_, at, data = text.decode().split("\n", 3)
    named: Any = type_
    return Event(run=run, seq=int(seq), type=named, at=float(at), data=read_object(data))


def receipt_fields(receipt: Receipt) -> list[Any]:
    run, key, *rest = receipt_row(receipt)
    return [run, key, as_json(rest)]


def read_receipts(run: str, pairs: Sequence[bytes]) -> dict[str, Receipt]:
    keys = (key.decode() for key in pairs[::2])
    return {key: read_receipt((run, key, *_read_list(rest))) for key, rest in zip(keys, pairs[1::2], strict=True)}


def _pairs(fields: dict[str, Any]) -> list[Any]:
    return each_alone(part for name, value in fields.items() if value is not None for part in (name, value))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()
