"""What a call says, looked at before the SDK reads it: what that would take for a fault of ours is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

import msgspec
from a2a.compat.v0_3 import conversions
from a2a.compat.v0_3 import types as older
from a2a.server.jsonrpc_models import JSONParseError
from a2a.server.request_handlers.response_helpers import build_error_response
from a2a.utils.error_handlers import build_rest_error_payload
from a2a.utils.errors import A2AError, InvalidParamsError, InvalidRequestError
from pydantic import BaseModel, ValidationError
from starlette.responses import JSONResponse, Response

_OLDER: Mapping[str, tuple[type[BaseModel], Callable[[Any], object]]] = MappingProxyType(
    {
        "message/send": (older.SendMessageRequest, conversions.to_core_send_message_request),
        "message/stream": (older.SendStreamingMessageRequest, conversions.to_core_send_message_request),
        "tasks/get": (older.GetTaskRequest, conversions.to_core_get_task_request),
    }
)
"""Methods of 0.3 whose requests may fit its form and yet be unreadable: base64 that is none, numbers too large."""


class _NoJson(ValueError):
    """The body is none."""


def refuse_call(body: bytes) -> Response | None:
    """The answer to a body of JSON-RPC that cannot be read; None where the SDK may read it."""
    try:
        told = _read(body)
    except _NoJson as error:
        return JSONResponse(build_error_response(None, JSONParseError(message=str(error))))
    if not isinstance(told, dict) or (problem := _problem(cast("dict[str, Any]", told))) is None:
        return None
    id_ = cast("dict[str, Any]", told).get("id")
    return JSONResponse(build_error_response(id_ if isinstance(id_, str | int) else None, problem))


def refuse_rest(body: bytes) -> Response | None:
    """The same for REST, where some calls have no body."""
    try:
        if body:
            _read(body)
    except _NoJson as error:
        return rest_error(InvalidRequestError(str(error)))
    return None


def rest_error(error: A2AError) -> Response:
    """An error as REST has it."""
    payload = build_rest_error_payload(error)
    return JSONResponse(payload, status_code=payload["error"]["code"])


def unreadable(error: Exception) -> InvalidParamsError:
    """What the SDK meets while it reads a request."""
    return InvalidParamsError(
        f"the request cannot be read: {str(error).splitlines()[0] if str(error) else type(error)}"
    )


def _read(body: bytes) -> object:
    """Raises `_NoJson`, also for what only some take for JSON: NaN, numbers beyond all bounds."""
    try:
        return cast("object", msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _NoJson(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise _NoJson("the body is nested too deeply") from None


def _problem(told: dict[str, Any]) -> A2AError | None:
    method = told.get("method")
    if not isinstance(method, str) or method not in _OLDER:
        return None
    form, convert = _OLDER[method]
    try:
        convert(form.model_validate(told))
    except ValidationError:
        return None  # the SDK says what
    except Exception as error:  # noqa: BLE001 - whatever the SDK cannot read
        return unreadable(error)
    return None
