"""REST of 0.3, where the SDK's own answers mistakes of callers with 500, or begins a stream before it has looked.

Here the first piece of a stream is waited for, as the SDK does for 1.0, so that what is wrong has a status.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any

from a2a.compat.v0_3.context_builders import V03ServerCallContextBuilder
from a2a.compat.v0_3.rest_handler import REST03Handler
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.request_handler import RequestHandler
from a2a.server.routes.common import ServerCallContextBuilder, create_event_source_response
from a2a.utils.error_handlers import build_rest_error_payload, rest_error_handler
from a2a.utils.errors import A2AError
from google.protobuf.json_format import ParseError
from sse_starlette.event import ServerSentEvent
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hanok.gateway.a2a.checking import unreadable
from hanok.wire import json_bytes

Ask = Callable[[Request, ServerCallContext], Awaitable[Any]]
Stream = Callable[[Request, ServerCallContext], AsyncGenerator[Any]]


def older_rest_routes(handler: RequestHandler, contexts: ServerCallContextBuilder) -> list[Route]:
    """Routes to put before the SDK's."""
    rest: Any = REST03Handler(request_handler=handler)
    builder = V03ServerCallContextBuilder(contexts)
    asked = {
        ("POST", "/v1/message:send"): rest.on_message_send,
        ("GET", "/v1/tasks/{id}"): rest.on_get_task,
        ("POST", "/v1/tasks/{id}/pushNotificationConfigs"): rest.set_push_notification,
    }
    streamed = {
        ("POST", "/v1/message:stream"): rest.on_message_send_stream,
        ("GET", "/v1/tasks/{id}:subscribe"): rest.on_subscribe_to_task,
        ("POST", "/v1/tasks/{id}:subscribe"): rest.on_subscribe_to_task,
    }
    return [
        *(Route(path, partial(_stream, ask, builder), methods=[verb]) for (verb, path), ask in streamed.items()),
        *(Route(path, partial(_answer, ask, builder), methods=[verb]) for (verb, path), ask in asked.items()),
    ]


@rest_error_handler
async def _answer(ask: Ask, contexts: V03ServerCallContextBuilder, request: Request) -> Response:
    try:
        return JSONResponse(await ask(request, contexts.build(request)))
    except (A2AError, ParseError):
        raise
    except Exception as error:  # noqa: BLE001 - what is ours to answer for, the handler tells as an `A2AError`
        raise unreadable(error) from None


@rest_error_handler
async def _stream(ask: Stream, contexts: V03ServerCallContextBuilder, request: Request) -> Response:
    pieces = ask(request, contexts.build(request))
    try:
        first = await anext(pieces)
    except (A2AError, ParseError):
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise unreadable(error) from None
    return create_event_source_response(_told(first, pieces))


async def _told(first: Any, pieces: AsyncGenerator[Any]) -> AsyncGenerator[ServerSentEvent]:
    yield ServerSentEvent(data=json_bytes(first).decode())
    try:
        async for piece in pieces:
            yield ServerSentEvent(data=json_bytes(piece).decode())
    except A2AError as error:
        yield ServerSentEvent(data=json_bytes(build_rest_error_payload(error)).decode(), event="error")
    finally:
        await pieces.aclose()
