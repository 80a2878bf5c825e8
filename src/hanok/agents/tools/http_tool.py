"""A declared HTTP request as a tool: the model gives arguments, everything else is declared.

Arguments, or their declared defaults, stand where `{name}` is. Those that stand nowhere go into the query of a GET or
DELETE, else into the body.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import parse_qsl

from hanok.agents.tool import Tool, Toolbox, ToolCall, ToolResult, ToolSpec
from hanok.agents.tools.http_client import Clock, Manners, Remote, allowed
from hanok.agents.tools.redaction import Redaction, plain_headers
from hanok.agents.tools.surroundings import Surroundings
from hanok.agents.tools.template import BadArgument, encode_pairs, fill_body, fill_url, pairs_of
from hanok.errors import ToolUnavailable, WebError
from hanok.spec import HttpTool
from hanok.spec.tree.templates import names_in
from hanok.web.client import Request, Web, check_headers
from hanok.web.place import Place, place_of

_IN_QUERY = ("GET", "DELETE")
NANO = 1_000_000_000


def open_http(declared: HttpTool, _around: Surroundings) -> Toolbox:
    """The tool of a declared request."""
    return HttpToolbox(declared)


class HttpToolbox:
    """The one tool that is declared. `web` and `clock` are handed in by tests."""

    def __init__(self, declared: HttpTool, *, web: Web | None = None, clock: Clock | None = None) -> None:
        self._declared = declared
        self._web = web or Web(private=declared.private)
        self._clock = clock

    async def open(self) -> Sequence[Tool]:
        """Raises `ToolUnavailable` where its URL or headers cannot be sent; nobody is asked."""
        declared = self._declared
        headers = plain_headers(declared.headers)
        try:
            place = place_of(declared.url.partition("?")[0])
            check_headers(place.url, headers)
        except WebError as error:
            raise ToolUnavailable(f"tool {declared.name}: {error.message}", hint=error.hint) from None
        return [_HttpTool(declared, headers, self._remote(place, headers))]

    async def aclose(self) -> None:
        """Nothing is held: each connection ends with its answer."""

    def _remote(self, place: Place, headers: Mapping[str, str]) -> Remote:
        declared = self._declared
        manners = Manners(
            fits=allowed([place], declared.hosts),
            redaction=Redaction(headers, {**_query_of(declared.url), **declared.query}),
            max_bytes=declared.max_bytes,
            retries=declared.retries,
            timeout_s=declared.timeout_s,
        )
        return Remote(web=self._web, manners=manners, clock=self._clock)


class _HttpTool:
    def __init__(self, declared: HttpTool, headers: Mapping[str, str], remote: Remote) -> None:
        self._declared = declared
        self._headers = headers
        self._remote = remote
        self._safe = declared.method == "GET" if declared.safe is None else declared.safe
        self._named = names_in([declared.url, declared.query, declared.body])
        properties = _properties(declared.parameters).items()
        self._defaults = {name: each["default"] for name, each in properties if "default" in each}
        self._spec = ToolSpec(
            name=declared.name,
            description=declared.description,
            parameters=declared.parameters,
            timeout_s=declared.timeout_s,
            max_output=declared.max_output,
            safe=self._safe,
            cost_nano_usd=round(declared.usd * NANO),
        )

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def use(self, call: ToolCall) -> ToolResult:
        """Ask. Arguments that cannot stand where they must are a failed result, and nobody is asked."""
        try:
            request = self._request({**self._defaults, **call.arguments})
        except BadArgument as error:
            return bad_argument(error)
        return await self._remote.ask(request, call, safe=self._safe, pointer=self._declared.result)

    def _request(self, arguments: Mapping[str, Any]) -> Request:
        declared, rest = self._declared, self._rest(arguments)
        url = fill_url(declared.url, arguments, declared.query)
        if declared.method in _IN_QUERY and not declared.query:
            url = with_query(url, rest)
        body = fill_body(declared.body, arguments)
        if declared.body is None and declared.method not in _IN_QUERY and self._leaves_some():
            body = rest
        return json_request(declared.method, url, self._headers, body)

    def _rest(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments that no placeholder names; without those that nobody declared."""
        declared = _properties(self._spec.parameters)
        open_ = bool(self._spec.parameters.get("additionalProperties", not declared))
        return {
            name: value for name, value in arguments.items() if name not in self._named and (open_ or name in declared)
        }

    def _leaves_some(self) -> bool:
        declared = _properties(self._spec.parameters)
        return not declared or any(name not in self._named for name in declared)


def bad_argument(error: BadArgument) -> ToolResult:
    """What the model is told of an argument that cannot stand where it must."""
    return ToolResult(content=str(error), failed=True, data={"error": "bad_argument"})


def json_request(method: str, url: str, headers: Mapping[str, str], body: Any) -> Request:
    """A request with a JSON body, or none. Raises `BadArgument` where the body is none that JSON can hold."""
    accepted = {"accept": "application/json, text/*;q=0.9, */*;q=0.1", **_lower(headers)}
    if body is None:
        return Request(url=url, method=method, headers=accepted)
    try:
        data = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        raise BadArgument("arguments hold a number that JSON has not, as NaN") from None
    return Request(url=url, method=method, headers={"content-type": "application/json", **accepted}, body=data)


def with_query(url: str, values: Mapping[str, Any]) -> str:
    """The URL with these parameters after those that it has."""
    more = "&".join(encode_pairs(pair for name, value in values.items() for pair in pairs_of(name, value)))
    return f"{url}{'&' if '?' in url else '?'}{more}" if more else url


def _properties(schema: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The declared arguments; one that may be anything is an empty schema."""
    found = schema.get("properties")
    declared = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    return {name: cast("dict[str, Any]", each) if isinstance(each, dict) else {} for name, each in declared.items()}


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(url.partition("#")[0].partition("?")[2], keep_blank_values=True))
