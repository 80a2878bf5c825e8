"""The ASGI application behind `/a2a`: for each agent its card, JSON-RPC and REST, as a2a-sdk has them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from a2a.extensions.common import HTTP_EXTENSION_HEADER, get_requested_extensions
from a2a.server.context import ServerCallContext
from a2a.server.routes import create_jsonrpc_routes, create_rest_routes
from a2a.server.routes.common import ServerCallContextBuilder
from a2a.utils.constants import VERSION_HEADER
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hanok.agents.agency import Agency
from hanok.gateway.a2a.cards import card_of, version_of
from hanok.gateway.a2a.checking import refuse_call, refuse_rest
from hanok.gateway.a2a.handler import RunHandler
from hanok.gateway.a2a.older_rest import older_rest_routes
from hanok.gateway.a2a.paths import CARDS, agent_below, path_of
from hanok.gateway.a2a.push_client import Pusher
from hanok.gateway.asgi import App, Message, Receive, Scope, Send
from hanok.spec import Agent

LONGEST_VERSION = 64
"""Characters of a version that are looked at: the SDK reads numbers in it, of any length."""
_CARD_HEADERS = {"cache-control": "private, max-age=60"}


class Application:
    """The application. `url` is where callers reach the house; None for what each of them calls it."""

    def __init__(self, agents: Sequence[Agent], *, agency: Agency, pusher: Pusher, url: str | None) -> None:
        self._agency = agency
        self._pusher = pusher
        self._url = url
        self._agents = {agent.name: agent for agent in agents}
        self._apps: dict[str, App] = {}
        # the SDK logs whole tracebacks for what callers send wrong; what we do wrong is logged by us
        logging.getLogger("a2a").setLevel(logging.CRITICAL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. Calls for agents that there are not do not come here."""
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is spoken here")
        name = agent_below(scope["path"], self._agents)
        if name not in self._apps:
            self._apps[name] = self._make(self._agents[name])
        below = path_of(name)
        rest = scope["path"].removeprefix(below) if scope["path"].startswith(below) else scope["path"]
        scope = {**scope, "root_path": "", "path": rest or "/"}
        if scope["method"] != "POST":
            await self._apps[name](scope, receive, send)
            return
        heard = await receive()
        refused = (refuse_call if scope["path"] == "/" else refuse_rest)(heard.get("body", b""))
        await (refused or self._apps[name])(scope, _from(heard, receive), send)

    def _make(self, agent: Agent) -> App:
        handler = RunHandler(agent.name, agency=self._agency, pusher=self._pusher)

        async def show_card(request: Request) -> Response:
            return self._card(agent, request)

        routes = [
            *(Route(path, show_card, methods=["GET"]) for path in CARDS),
            *create_jsonrpc_routes(handler, "/", context_builder=_Contexts(), enable_v0_3_compat=True),
            *older_rest_routes(handler, _Contexts()),
            *create_rest_routes(handler, context_builder=_Contexts(), enable_v0_3_compat=True),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _refuse})

    def _card(self, agent: Agent, request: Request) -> Response:
        """The card, or that it is the one that the caller has."""
        tag = f'W/"{version_of(agent)}"'
        headers = {**_CARD_HEADERS, "etag": tag, "vary": "host, x-forwarded-proto"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return JSONResponse(card_of(agent, url=self._address(request) + path_of(agent.name)), headers=headers)

    def _address(self, request: Request) -> str:
        if self._url is not None:
            return self._url.rstrip("/")
        scheme = "https" if request.headers.get("x-forwarded-proto", "").startswith("https") else "http"
        return f"{scheme}://{request.headers.get('host', 'localhost')}"


class _Contexts(ServerCallContextBuilder):
    """What the handler knows of a call: who makes it, and the headers that A2A reads."""

    def build(self, request: Request) -> ServerCallContext:
        names = (VERSION_HEADER.lower(), HTTP_EXTENSION_HEADER.lower())
        headers = {name: request.headers[name] for name in names if name in request.headers}
        if version := headers.get(VERSION_HEADER.lower()):
            headers[VERSION_HEADER.lower()] = version[:LONGEST_VERSION]
        return ServerCallContext(
            state={"caller": request.scope["state"]["caller"], "headers": headers},
            requested_extensions=get_requested_extensions(request.headers.getlist(HTTP_EXTENSION_HEADER)),
        )


def _from(first: Message, receive: Receive) -> Receive:
    """Receive that again which was received already, then what comes."""
    heard = [first]

    async def again() -> Message:
        return heard.pop() if heard else await receive()

    return again


async def _refuse(request: Request, error: Exception) -> Response:
    """What has no route, in the words of our door."""
    assert isinstance(error, HTTPException)
    path = request.scope["path"]
    said = {404: f"there is nothing at {path} of this agent", 405: f"{path} of this agent takes another method"}
    body: Mapping[str, Any] = {
        "message": said.get(error.status_code, error.detail),
        "type": "invalid_request_error",
        "param": None,
        "code": "method_not_allowed" if error.status_code == 405 else "not_found",
    }
    return JSONResponse({"error": body}, status_code=error.status_code, headers=error.headers)
