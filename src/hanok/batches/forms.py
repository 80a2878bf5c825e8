"""Files, batches and their lines in OpenAI's JSON forms (https://platform.openai.com/docs/api-reference/batch).

A line of an output file holds the answer's body as the model path gave it, without line ends between its values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from hanok.batches.entries import Batch, FileEntry, LineError, Tokens
from hanok.wire import json_bytes


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking one line: an HTTP status, and the body that a caller would have been sent."""

    status: int
    body: bytes
    tokens: Tokens = Tokens()

    @property
    def answered(self) -> bool:
        return self.status < 400


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    input_tokens: int | None = None
    completion_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None


class _Body(msgspec.Struct):
    usage: _Usage | None = None


class _Response(msgspec.Struct):
    body: _Body | None = None


class Written(msgspec.Struct):
    """What is read again of a line that was written: which one it is, and what it used."""

    custom_id: str
    response: _Response | None = None

    def tokens(self) -> Tokens:
        usage = self.response.body.usage if self.response and self.response.body else None
        if usage is None:
            return Tokens()
        details = usage.prompt_tokens_details or usage.input_tokens_details
        return Tokens(
            input=usage.prompt_tokens or usage.input_tokens or 0,
            cached=(details.cached_tokens or 0) if details else 0,
            output=usage.completion_tokens or usage.output_tokens or 0,
        )


read_written = msgspec.json.Decoder(Written).decode
"""Raises `msgspec.DecodeError`."""


def answered_line(id: str, custom_id: str, request_id: str, outcome: Outcome) -> bytes:  # noqa: A002 - OpenAI's name
    """A line that was asked and answered, well or not, with its line end."""
    body = msgspec.Raw(msgspec.json.format(outcome.body, indent=-1))
    response = {"status_code": outcome.status, "request_id": request_id, "body": body}
    return json_bytes({"id": id, "custom_id": custom_id, "response": response, "error": None}) + b"\n"


def unasked_line(id: str, custom_id: str, code: str, message: str) -> bytes:  # noqa: A002 - OpenAI's name
    """A line that was never answered, with its line end."""
    error = {"code": code, "message": message}
    return json_bytes({"id": id, "custom_id": custom_id, "response": None, "error": error}) + b"\n"


def file_form(file: FileEntry) -> dict[str, Any]:
    """OpenAI's file object."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at,
        "expires_at": file.expires_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def batch_form(batch: Batch, *, starts_at: float | None) -> dict[str, Any]:
    """OpenAI's batch object, and `starts_at`: when its lines will be asked, where that is not now."""
    waiting = starts_at is not None and batch.status in ("validating", "in_progress")
    ids = batch.ended and batch.status != "failed"
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": _errors_form(batch.errors) if batch.errors else None,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": "cancelling" if batch.status == "finalizing" and batch.cancelled_at else batch.status,
        "output_file_id": batch.output_file_id if ids else None,
        "error_file_id": batch.error_file_id if ids else None,
        "created_at": batch.created_at,
        "in_progress_at": batch.in_progress_at,
        "expires_at": batch.expires_at,
        "finalizing_at": batch.finalizing_at,
        "completed_at": batch.completed_at,
        "failed_at": batch.failed_at,
        "expired_at": batch.expired_at,
        "cancelling_at": batch.cancelling_at,
        "cancelled_at": batch.cancelled_at,
        "request_counts": msgspec.structs.asdict(batch.counts),
        "usage": _usage_form(batch.tokens),
        "metadata": batch.metadata,
        "starts_at": int(starts_at) if waiting and starts_at is not None else None,
    }


def list_form(forms: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """A page of them."""
    first, last = (forms[0]["id"], forms[-1]["id"]) if forms else (None, None)
    return {"object": "list", "data": forms, "first_id": first, "last_id": last, "has_more": more}


def _errors_form(errors: Iterable[LineError]) -> dict[str, Any]:
    return {"object": "list", "data": [msgspec.structs.asdict(error) for error in errors]}


def _usage_form(tokens: Tokens) -> dict[str, Any]:
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens.input + tokens.output,
    }
