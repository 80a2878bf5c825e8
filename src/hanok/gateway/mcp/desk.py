"""The desk for MCP: `POST /mcp` (streamable HTTP), and where clients read that it takes bearer keys.

Who shows no key is told where that is written: https://datatracker.ietf.org/doc/html/rfc9728. Keys are made here, by
whoever runs the platform, so no authorization server is named there.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from types import MappingProxyType

from hanok.errors import NotNow, Unauthenticated, Unknown, WrongMethod
from hanok.gateway.asgi import App, AsgiDesk, with_key
from hanok.gateway.envelope import ErrorAnswer, answer_error, error_event
from hanok.gateway.giving import JSON_TYPE
from hanok.gateway.http import Call, no_headers
from hanok.gateway.mcp.envelope import refusal_of
from hanok.gateway.mcp.origins import admit_page
from hanok.gateway.mcp.tools import McpTools
from hanok.gateway.reception import Reception
from hanok.gateway.replay import Handle
from hanok.wire import json_bytes

PATH = "/mcp"
METADATA = "/.well-known/oauth-protected-resource"
BODY_LIMIT = 16 * 1024 * 1024


class NoKeyShown(Unauthenticated):
    """No key, or one that nobody knows; `metadata` is where it is written what is to be shown."""

    def __init__(self, message: str, *, metadata: str) -> None:
        super().__init__(message, code="invalid_api_key")
        self.metadata = metadata


class McpDesk:
    """The desk. The SDK behind it is imported at the first call. Close it in the end. `url` is where callers reach the
    house, where that is declared."""

    paths: Sequence[str] = (PATH, METADATA)
    asks: Set[str] = frozenset()
    posts: Mapping[str, Handle] = MappingProxyType({})
    error_event = staticmethod(error_event)
    also = staticmethod(no_headers)

    def __init__(self, tools: McpTools, *, reception: Reception, url: Callable[[], str | None]) -> None:
        self._tools = tools
        self._url = url
        self._reception = reception
        self._opening = asyncio.Lock()
        self._opened: AsgiDesk | None = None

    async def __call__(self, call: Call) -> None:
        """Answer one call. Raises `RequestError`."""
        path = call.path.rstrip("/")
        if path in (METADATA, f"{METADATA}{PATH}"):
            if call.method != "GET":
                raise WrongMethod(call.path, "GET")
            await call.reply(200, json_bytes(_metadata(call)), JSON_TYPE)
            return
        if path != PATH:
            raise Unknown(f"there is nothing at {call.path}; see /openapi.json", code="not_found")
        if call.method != "POST":  # no streams of our own to listen to, no sessions to end
            raise WrongMethod(call.path, "POST")
        admit_page(call.headers.get(b"origin"), own=self._url())
        self._find_key(call)
        if (refused := refusal_of(await call.body())) is not None:
            await call.reply(400, refused, JSON_TYPE)
            return
        await (await self._open())(call)

    def answer_error(self, error: Exception) -> ErrorAnswer:
        """As everywhere; to who shows no key also where it is written what to show."""
        failed = answer_error(error)
        if isinstance(error, NoKeyShown):
            failed = replace(failed, headers={"www-authenticate": f'Bearer resource_metadata="{error.metadata}"'})
        return failed

    async def aclose(self) -> None:
        """End what runs."""
        if self._opened is not None:
            await self._opened.aclose()

    def _find_key(self, call: Call) -> None:
        try:
            self._reception.find_key(call)
        except Unauthenticated as error:
            raise NoKeyShown(error.message, metadata=f"{_origin(call)}{METADATA}{PATH}") from None

    async def _open(self) -> AsgiDesk:
        async with self._opening:
            if self._opened is None:
                app = await asyncio.to_thread(_make_app, self._tools)  # a second of imports, beside the event loop
                self._opened = AsgiDesk(app, paths=(PATH,), admit=with_key(self._reception))
            return self._opened


def _make_app(tools: McpTools) -> App:
    if importlib.util.find_spec("mcp") is None:
        raise NotNow('MCP is not installed here; whoever runs this can: pip install "hanok[agents]"', code="no_mcp")
    from hanok.gateway.mcp.server import make_app

    return make_app(tools, body_limit=BODY_LIMIT)


def _metadata(call: Call) -> dict[str, object]:
    """RFC 9728, section 2."""
    return {
        "resource": f"{_origin(call)}{PATH}",
        "resource_name": "hanok",
        "bearer_methods_supported": ["header"],
    }


def _origin(call: Call) -> str:
    """Where the caller found us: as he says, since a proxy in front may have another name."""
    scheme = "https" if call.headers.get(b"x-forwarded-proto", b"").strip().lower() == b"https" else "http"
    host = call.headers.get(b"host", b"localhost").decode("latin-1")
    return f"{scheme}://{''.join(each for each in host if each.isalnum() or each in '.:-[]')}"
