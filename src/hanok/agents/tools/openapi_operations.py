"""The operations of an OpenAPI document, each with one schema for its parameters and its body, and back again.

A model gives one object; `request_of` puts each of its members where the document wants it. Whatever they hold, they
name no other path and no other parameter than the document has.

Format: OpenAPI 3.0 and 3.1, Operation, Parameter and Request Body Objects; styles as in its Parameter Object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import quote

from hanok.agents.tools.openapi_schema import TEXT, Broken, JsonObject, Schemas, followed, shortened
from hanok.agents.tools.template import BadArgument, check_segment, encode, encode_pairs, pairs_of, segment_of, text_of

Part = Literal["path", "query", "header", "cookie"]
METHODS = ("get", "put", "post", "delete", "patch")
DESCRIPTION = 1000
"""Characters of an operation's description."""
NAME = 64
_PARTS = ("path", "query", "header", "cookie")
_STYLES: Mapping[str, str] = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}
_IGNORED_HEADERS = frozenset(("accept", "content-type", "authorization"))
"""Parameters that the format says are ignored."""
_IN_PATH = re.compile(r"\{([^{}/]+)\}")
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""What providers take as the name of a parameter."""
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """`argument` is what the model calls it, `name` what the server does; `fields` are an object's declared members."""

    argument: str
    name: str
    part: Part
    style: str
    explode: bool
    as_json: bool
    required: bool
    fields: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Body:
    """What is sent as the body: the argument of that name, or, without one, those that are no parameters."""

    media_type: str
    argument: str | None
    required: bool


@dataclass(frozen=True, kw_only=True)
class Operation:
    """`id` is the document's, or made of method and path; `server` its own, where it has one."""

    id: str
    name: str
    method: str
    path: str
    description: str
    schema: JsonObject
    parameters: tuple[Parameter, ...]
    body: Body | None
    server: str | None


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A request's parts, encoded: `path` begins with `/`, `query` has no `?`."""

    path: str
    query: str
    headers: dict[str, str]
    body: Any
    form: str | None


def operations_of(
    document: JsonObject, *, takes: Callable[[str], bool] = lambda _: True, given: Sequence[str] = (), prefix: str = ""
) -> Iterator[Operation]:
    """The operations whose ids are taken, under names that begin with the prefix; without those that take files.

    `given` are headers that are declared beside the document, and so are no parameters. Raises `Broken`.
    """
    names: set[str] = set()
    known = frozenset(name.lower() for name in given) | _IGNORED_HEADERS
    for path, value in _members(_member(document, "paths")):
        with _told_at(path):
            item = _object(followed(document, value), "it")
        for method in filter(item.__contains__, METHODS):
            with _told_at(f"{method.upper()} {path}"):
                operation = _object(item[method], "it")
                id_ = identified(path, method, operation)
                if takes(id_) and _is_usable(document, operation, path):
                    yield _read(_Source(document, path, method, item, operation), known, _unique(prefix + id_, names))


def identified(path: str, method: str, operation: JsonObject) -> str:
    """Its `operationId`, or `get_pets_petId`."""
    given = operation.get("operationId")
    return given if isinstance(given, str) and given else f"{method}_{'_'.join(re.findall(r'[A-Za-z0-9]+', path))}"


def request_of(operation: Operation, arguments: Mapping[str, Any]) -> Filled:
    """What is sent for these arguments. Raises `BadArgument`."""
    content = _content(operation, arguments)
    form = None
    if operation.body and operation.body.media_type == FORM and isinstance(content, dict):
        pairs = (pair for name, value in cast("JsonObject", content).items() for pair in pairs_of(name, value))
        form, content = "&".join(encode_pairs(pairs)), None
    return Filled(
        path=_path(operation, arguments),
        query="&".join(_query(operation, arguments)),
        headers=_headers(operation, arguments),
        body=content,
        form=form,
    )


# From the document.


@dataclass(frozen=True)
class _Source:
    """Where an operation stands."""

    document: JsonObject
    path: str
    method: str
    item: JsonObject
    operation: JsonObject


@contextmanager
def _told_at(where: str) -> Generator[None]:
    try:
        yield
    except Broken as error:
        raise Broken(f"{where}: {error}") from None


def _read(source: _Source, known: frozenset[str], name: str) -> Operation:
    operation = source.operation
    schemas = Schemas(source.document)
    parameters, properties = _named([each for each in _parameters(source) if _is_shown(each, known)], schemas, source)
    body, members = _body(source, schemas, properties)
    required = [each.argument for each in parameters if each.required] + members.get("required", [])
    schema: JsonObject = {
        "type": "object",
        "properties": {**properties, **members.get("properties", {})},
        "additionalProperties": members.get("additionalProperties", False),
        **({"required": required} if required else {}),
    }
    return Operation(
        id=identified(source.path, source.method, operation),
        name=name,
        method=source.method.upper(),
        path=source.path,
        description=_described(operation) or f"{source.method.upper()} {source.path}",
        schema=schema,
        parameters=parameters,
        body=body,
        server=server_of(operation) or server_of(source.item),
    )


def _described(operation: JsonObject) -> str:
    told = [text for key in ("summary", "description") if isinstance(text := operation.get(key), str) and text.strip()]
    return shortened(". ".join(text.strip().rstrip(".") for text in dict.fromkeys(told)), DESCRIPTION)


def server_of(block: JsonObject) -> str | None:
    """The first of a block's servers, its variables at their defaults; None where it has none. Raises `Broken`."""
    servers = _list(block.get("servers"))
    if not servers:
        return None
    server = _object(servers[0], "servers[0]")
    url, variables = server.get("url"), _member(server, "variables")
    if not isinstance(url, str):
        raise Broken("servers[0] has no `url`")
    for name, variable in _members(variables):
        url = url.replace(f"{{{name}}}", str(_object(variable, f"servers[0].variables.{name}").get("default", "")))
    return url


def _parameters(source: _Source) -> list[JsonObject]:
    """Those of the path and of the operation, which go before; and those that only the path names."""
    found: dict[tuple[str, str], JsonObject] = {}
    for block in (source.item, source.operation):
        for each in _list(block.get("parameters")):
            parameter = _object(followed(source.document, each), "a parameter")
            name, part = parameter.get("name"), parameter.get("in")
            if not isinstance(name, str) or part not in _PARTS:
                raise Broken(f"a parameter has no `name`, or is in {part!r}")
            found[name, part] = parameter
    for name in _IN_PATH.findall(source.path):
        found.setdefault((name, "path"), {"name": name, "in": "path", "schema": {"type": "string"}})
    return [each for (name, part), each in found.items() if part != "path" or f"{{{name}}}" in source.path]


def _is_shown(parameter: JsonObject, known: frozenset[str]) -> bool:
    return parameter["in"] != "header" or parameter["name"].lower() not in known


def _named(
    declared: Sequence[JsonObject], schemas: Schemas, source: _Source
) -> tuple[tuple[Parameter, ...], JsonObject]:
    """Parameters under names that are unique and that providers take, and their schemas."""
    parameters: list[Parameter] = []
    properties: JsonObject = {}
    for given in declared:
        content = list(_member(given, "content").values())
        schema = _object(content[0], "its content").get("schema") if content else given.get("schema")
        plain = schemas.plain(schema)
        text = given.get("description")
        argument = _argument(given["name"], given["in"], properties)
        properties[argument] = {**plain, "description": shortened(text, TEXT)} if isinstance(text, str) else plain
        parameters.append(_parameter(given, argument, bool(content), followed(source.document, schema)))
    return tuple(parameters), properties


def _parameter(given: JsonObject, argument: str, as_json: bool, schema: Any) -> Parameter:
    part: Part = given["in"]
    style = given.get("style") if isinstance(given.get("style"), str) else _STYLES[part]
    fields = _member(cast("JsonObject", schema), "properties") if isinstance(schema, dict) else {}
    return Parameter(
        argument=argument,
        name=given["name"],
        part=part,
        style=str(style),
        explode=bool(given.get("explode", style in ("form", "deepObject"))),
        as_json=as_json,
        required=part == "path" or given.get("required") is True,
        fields=tuple(map(str, fields)),
    )


def _argument(name: str, part: str, taken: Mapping[str, Any]) -> str:
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:NAME] or part
    for candidate in (plain, f"{part}_{plain}"[:NAME], *(f"{plain[: NAME - 3]}_{count}" for count in range(2, 100))):
        if candidate not in taken:
            return candidate
    raise Broken(f"has too many parameters like {name[:80]!r}")


def _is_usable(document: JsonObject, operation: JsonObject, path: str) -> bool:
    """Whether a model can give what it takes: no files, and nothing beside its path."""
    given = _object(followed(document, operation.get("requestBody") or {}), "its requestBody")
    content = _member(given, "content")
    return "?" not in path and (not content or _media_type(content) is not None)


def _media_type(content: JsonObject) -> str | None:
    return next((each for each in content if _is_json_type(each)), FORM if FORM in content else None)


def _body(source: _Source, schemas: Schemas, properties: JsonObject) -> tuple[Body | None, JsonObject]:
    """The body, and the schema of what stands for it beside those properties: its members where it is an object of
    its own, else it as a whole."""
    given = _object(followed(source.document, source.operation.get("requestBody") or {}), "its requestBody")
    content, required = _member(given, "content"), given.get("required") is True
    media_type = _media_type(content)
    if media_type is None:
        return None, {}
    schema = schemas.plain(_object(content[media_type], "its content").get("schema"))
    if _is_of_members(schema, properties):
        body = Body(media_type=media_type, argument=None, required=required)
        return body, schema if required else {**schema, "required": []}
    argument = _argument("body", "request", properties)
    body = Body(media_type=media_type, argument=argument, required=required)
    return body, {"properties": {argument: schema}, "required": [argument] if required else []}


def _is_of_members(schema: JsonObject, properties: JsonObject) -> bool:
    """Whether its members can stand beside the parameters."""
    members = schema.get("properties", {})
    plain = schema.get("type") == "object" and not any(key in schema for key in ("allOf", "anyOf", "oneOf", "not"))
    return plain and bool(members) and all(_KEY.fullmatch(name) and name not in properties for name in members)


def _is_json_type(media_type: str) -> bool:
    kind = media_type.partition(";")[0].strip().lower()
    return kind in ("application/json", "*/*", "application/*") or kind.endswith("+json")


def _unique(id_: str, names: set[str]) -> str:
    """A tool's name for that id."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", id_)
    name = name if re.match(r"[A-Za-z_]", name) else f"_{name}"
    candidates = (name[:NAME], *(f"{name[: NAME - 4]}_{count}" for count in range(2, 1000)))
    chosen = next((each for each in candidates if each not in names), None)
    if chosen is None:
        raise Broken(f"has too many operations like {name[:80]!r}")
    names.add(chosen)
    return chosen


def _member(block: JsonObject, key: str) -> JsonObject:
    return _object(block.get(key) or {}, f"`{key}`")


def _members(block: JsonObject) -> Iterator[tuple[str, Any]]:
    return ((str(key), value) for key, value in block.items())


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _object(value: Any, what: str) -> JsonObject:
    if not isinstance(value, dict):
        raise Broken(f"{what} is no object")
    return cast("JsonObject", value)


# Into a request.


def _content(operation: Operation, arguments: Mapping[str, Any]) -> Any:
    """What the body holds; None for no body."""
    body = operation.body
    if body is None:
        return None
    if body.argument is not None:
        return arguments.get(body.argument)
    known = {each.argument for each in operation.parameters}
    members = {name: value for name, value in arguments.items() if name not in known}
    return members if members or body.required else None


def _path(operation: Operation, arguments: Mapping[str, Any]) -> str:
    by_name = {each.name: each for each in operation.parameters if each.part == "path"}
    segments = [_segment(segment, by_name, arguments) for segment in operation.path.strip("/").split("/")]
    return "/" + "/".join(segments) + ("/" if operation.path.endswith("/") and operation.path != "/" else "")


def _segment(template: str, by_name: Mapping[str, Parameter], arguments: Mapping[str, Any]) -> str:
    filled, end, last = "", 0, ""
    for match in _IN_PATH.finditer(template):
        parameter = by_name[match[1]]
        filled += quote(template[end : match.start()], safe="%:@!$&'()*+,;=~-._") + _piece(parameter, arguments)
        end, last = match.end(), parameter.argument
    filled += quote(template[end:], safe="%:@!$&'()*+,;=~-._")
    return check_segment(last, filled) if last else filled


def _piece(parameter: Parameter, arguments: Mapping[str, Any]) -> str:
    value = arguments.get(parameter.argument)
    if value is None:
        raise BadArgument(f"`{parameter.argument}` is missing: it is part of the address")
    texts = [segment_of(parameter.argument, text) for text in _texts(parameter, value)]
    if not texts:
        raise BadArgument(f"`{parameter.argument}` is empty, and must not be")
    before = {"label": ".", "matrix": f";{encode(parameter.name)}="}.get(parameter.style, "")
    return before + ("." if parameter.style == "label" and parameter.explode else ",").join(texts)


def _query(operation: Operation, arguments: Mapping[str, Any]) -> Iterator[str]:
    for parameter, value in _values(operation, "query", arguments):
        yield from _query_of(parameter, value)


def _query_of(parameter: Parameter, value: Any) -> list[str]:
    if parameter.as_json or not isinstance(value, (list, dict)):
        return [f"{encode(parameter.name)}={encode(_json(value) if parameter.as_json else text_of(value))}"]
    if isinstance(value, dict):
        members = cast("JsonObject", value)
        if parameter.style == "deepObject":
            return encode_pairs((f"{parameter.name}[{key}]", text_of(each)) for key, each in members.items())
        if parameter.explode:
            return encode_pairs((key, text_of(members[key])) for key in parameter.fields if key in members)
    elif parameter.explode:
        return encode_pairs(pairs_of(parameter.name, value))
    between = {"spaceDelimited": "%20", "pipeDelimited": "%7C"}.get(parameter.style, ",")
    return [f"{encode(parameter.name)}={between.join(encode(text) for text in _texts(parameter, value))}"]


def _headers(operation: Operation, arguments: Mapping[str, Any]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for parameter, value in _values(operation, "header", arguments):
        text = _json(value) if parameter.as_json else ",".join(_texts(parameter, value))
        if not _HEADER_VALUE.fullmatch(text):
            raise BadArgument(f"`{parameter.argument}` has characters in it that cannot stand in a header")
        headers[parameter.name.lower()] = text
    cookies = [
        f"{encode(parameter.name)}={encode(text_of(value))}"
        for parameter, value in _values(operation, "cookie", arguments)
    ]
    return {**headers, "cookie": "; ".join(cookies)} if cookies else headers


def _values(operation: Operation, part: Part, arguments: Mapping[str, Any]) -> Iterator[tuple[Parameter, Any]]:
    """Those that are given."""
    for parameter in operation.parameters:
        if parameter.part == part and arguments.get(parameter.argument) is not None:
            yield parameter, arguments[parameter.argument]


def _texts(parameter: Parameter, value: Any) -> list[str]:
    """A value as the texts that are joined."""
    if parameter.as_json:
        return [_json(value)]
    if isinstance(value, list):
        return [text_of(each) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        members = cast("JsonObject", value).items()
        if parameter.explode:
            return [f"{key}={text_of(each)}" for key, each in members]
        return [text for key, each in members for text in (key, text_of(each))]
    return [text_of(value)]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
