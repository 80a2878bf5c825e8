"""The operations of an OpenAPI document as tools: the document is read once, when the tools are first needed.

A document that was fetched does not decide who is asked: its server is asked where it is the document's own host, or
is declared (`url`, `hosts`). Credentials go nowhere else.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast
from urllib.parse import urljoin

import yaml

from hanok.agents.tool import Tool, Toolbox, ToolCall, ToolResult, ToolSpec
from hanok.agents.tools.http_client import Clock, Manners, Remote, allowed
from hanok.agents.tools.http_tool import NANO, bad_argument, json_request
from hanok.agents.tools.openapi_operations import FORM, Operation, operations_of, request_of, server_of
from hanok.agents.tools.openapi_schema import Broken, JsonObject, shortened
from hanok.agents.tools.redaction import Redaction, plain_headers
from hanok.agents.tools.surroundings import Surroundings
from hanok.agents.tools.template import BadArgument
from hanok.errors import ToolUnavailable, WebError
from hanok.spec import OpenApiTool
from hanok.web.client import Request, Web, check_headers
from hanok.web.place import place_of, without_password

LIMIT_BYTES = 20_000_000
"""Of a document; the largest that are public have 12 MB."""
DEPTH = 200
"""How deep YAML may go."""
TOOLS = 256
"""The most that one document gives."""
FETCH_S = 60.0
_Fastest: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Fastest):
    """Without dates: in JSON, and so in OpenAPI, they are text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's way
        sign: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for sign, resolvers in _Fastest.yaml_implicit_resolvers.items()
    }


def open_openapi(declared: OpenApiTool, around: Surroundings) -> Toolbox:
    """The operations of a declared document."""
    return OpenApiToolbox(declared, folder=around.folder)


class OpenApiToolbox:
    """Opened once. `folder` is that of platform.yaml; `web` and `clock` are handed in by tests."""

    def __init__(
        self, declared: OpenApiTool, *, folder: Path, web: Web | None = None, clock: Clock | None = None
    ) -> None:
        self._declared = declared
        self._folder = folder
        self._web = web or Web(private=declared.private)
        self._clock = clock
        self._headers = plain_headers(declared.headers)
        self._tools: Sequence[Tool] | None = None

    async def open(self) -> Sequence[Tool]:
        """Raises `ToolUnavailable` where the document cannot be had or does not hold together, and says where."""
        if self._tools is None:
            try:
                text = await self._text()
                self._tools = await asyncio.to_thread(self._read, text)
            except (Broken, WebError) as error:
                told = error.why if isinstance(error, WebError) else str(error)
                hint = error.hint if isinstance(error, WebError) else None
                raise self._unavailable(told, hint) from None
        return self._tools

    async def aclose(self) -> None:
        """Nothing is held: each connection ends with its answer."""

    # The document.

    @property
    def _is_fetched(self) -> bool:
        return self._declared.spec.startswith(("http://", "https://"))

    async def _text(self) -> str:
        data = await self._fetch() if self._is_fetched else await asyncio.to_thread(self._load)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise Broken("it is not UTF-8") from None

    def _load(self) -> bytes:
        try:
            with (self._folder / self._declared.spec).open("rb") as file:
                data = file.read(LIMIT_BYTES + 1)
        except (OSError, ValueError) as error:
            raise Broken(f"it cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if len(data) > LIMIT_BYTES:
            raise Broken(f"it is larger than {LIMIT_BYTES:,} bytes")
        return data

    async def _fetch(self) -> bytes:
        place = place_of(self._declared.spec)
        server = place_of(str(self._declared.url)) if self._declared.url else place
        headers = self._headers if server.origin == place.origin else {}
        fits = allowed([place], self._declared.hosts)
        request = Request(url=place.url, headers=headers)
        answer = await self._web.ask(request, limit_bytes=LIMIT_BYTES, within=fits, total_s=FETCH_S)
        if answer.status != 200:
            raise Broken(f"its server answered {answer.status}")
        return answer.body

    # The tools.

    def _read(self, text: str) -> Sequence[Tool]:
        declared = self._declared
        document = parse_document(text)
        prefix = f"{declared.name}__" if declared.prefix else ""
        operations = list(operations_of(document, takes=self._is_offered, given=tuple(self._headers), prefix=prefix))
        self._check_number(len(operations))
        bases = {server: self._base(document, server) for server in {each.server for each in operations}}
        remote = self._remote(list(bases.values()))
        return [_OperationTool(declared, each, bases[each.server], self._headers, remote) for each in operations]

    def _is_offered(self, id_: str) -> bool:
        taken, left = (
            any(fnmatchcase(id_, pattern) for pattern in patterns)
            for patterns in (self._declared.include, self._declared.exclude)
        )
        return taken and not left

    def _check_number(self, count: int) -> None:
        if not count:
            hint = "look at `include` and `exclude`; operations that take files are not offered"
            raise self._unavailable("it has no operation that may be offered", hint)
        if count > TOOLS:
            raise self._unavailable(f"it has {count:,} operations", f"choose at most {TOOLS} with `include`")

    def _base(self, document: JsonObject, server: str | None) -> str:
        """The URL that paths follow. Raises `Broken`, `ToolUnavailable`."""
        declared = self._declared
        if declared.url:
            return str(declared.url).rstrip("/")
        told = server or server_of(document) or "/"
        url = urljoin(declared.spec, told) if self._is_fetched else told
        hint = "declare the server as `url`"
        try:
            place = place_of(url)
        except (WebError, ValueError):
            raise self._unavailable(f"its server {told!r} is no URL", hint) from None
        if self._is_fetched and not allowed([place_of(declared.spec)], declared.hosts)(place):
            raise self._unavailable(f"its server {place.authority} is not where the document came from", hint)
        return url.partition("?")[0].partition("#")[0].rstrip("/")

    def _remote(self, bases: Sequence[str]) -> Remote:
        declared = self._declared
        for url in bases:
            check_headers(url, self._headers)
        manners = Manners(
            fits=allowed([place_of(url) for url in bases], declared.hosts),
            redaction=Redaction(self._headers),
            max_bytes=declared.max_bytes,
            retries=declared.retries,
            timeout_s=declared.timeout_s,
        )
        return Remote(web=self._web, manners=manners, clock=self._clock)

    def _unavailable(self, message: str, hint: str | None) -> ToolUnavailable:
        document = without_password(self._declared.spec.partition("?")[0])
        return ToolUnavailable(f"tool {self._declared.name!r}: {document}: {message}", hint=hint)


class _OperationTool:
    def __init__(
        self, declared: OpenApiTool, operation: Operation, base: str, headers: Mapping[str, str], remote: Remote
    ) -> None:
        self._operation = operation
        self._base = base
        self._headers = headers
        self._remote = remote
        self._spec = ToolSpec(
            name=operation.name,
            description=operation.description,
            parameters=operation.schema,
            timeout_s=declared.timeout_s,
            max_output=declared.max_output,
            safe=operation.method == "GET",
            cost_nano_usd=round(declared.usd * NANO),
        )

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def use(self, call: ToolCall) -> ToolResult:
        """Ask. Arguments that cannot stand where they must are a failed result, and nobody is asked."""
        try:
            request = self._request(call.arguments)
        except BadArgument as error:
            return bad_argument(error)
        return await self._remote.ask(request, call, safe=self._spec.safe)

    def _request(self, arguments: Mapping[str, Any]) -> Request:
        operation, filled = self._operation, request_of(self._operation, arguments)
        url = self._base + filled.path + (f"?{filled.query}" if filled.query else "")
        headers = {**filled.headers, **self._headers}
        if filled.form is not None:
            headers = {"content-type": FORM, **headers}
            return Request(url=url, method=operation.method, headers=headers, body=filled.form.encode())
        media_type = operation.body.media_type if operation.body and filled.body is not None else "*"
        headers = headers if "*" in media_type else {"content-type": media_type, **headers}
        return json_request(operation.method, url, headers, filled.body)


def parse_document(text: str) -> JsonObject:
    """An OpenAPI document in JSON or YAML. Raises `Broken`."""
    document = _parse(text)
    if not isinstance(document, dict):
        raise Broken("it is no OpenAPI document, but something else")
    found = cast("JsonObject", document)
    if "swagger" in found:
        raise Broken(f"it is Swagger {found['swagger']}; convert it to OpenAPI 3 first, as editor.swagger.io does")
    version = str(found.get("openapi", ""))
    if not version.startswith("3."):
        raise Broken(f"it is no OpenAPI 3 document: `openapi` is {version or 'missing'}")
    return found


def _parse(text: str) -> Any:
    if text.lstrip()[:1] == "{":
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Broken(f"it is no JSON: {error}") from None
    try:
        _check_depth(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Broken(f"it is no YAML: {shortened(str(error), 300)}") from None


def _check_depth(text: str) -> None:
    """Raise `Broken` for what would be more than the stack holds once it is read."""
    depth = 0
    events: Iterator[Any] = cast("Any", yaml).parse(text, Loader=_Loader)
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise Broken(f"it goes deeper than {DEPTH} levels")
