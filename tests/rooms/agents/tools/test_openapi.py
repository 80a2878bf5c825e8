"""OpenAPI documents as tools: what models are told of an operation, what is sent, and which documents are refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hanok.agents.tool import Tool, ToolResult
from hanok.agents.tools.openapi_client import OpenApiToolbox
from hanok.agents.tools.openapi_operations import operations_of, request_of
from hanok.agents.tools.template import BadArgument
from hanok.errors import ToolUnavailable
from hanok.gateway.openapi import openapi
from hanok.spec import OpenApiTool
from hanok.web.client import Web
from tests.rooms.agents.tools.calling import Waits, opened, use_one
from tests.website import Site, running_site

TOKEN = "tok-0123456789"


@pytest.fixture(scope="module")
def listening() -> Iterator[Site]:
    with running_site() as running:
        yield running


@pytest.fixture
def site(listening: Site) -> Site:
    listening.replies.clear()
    listening.asked.clear()
    listening.bodies.clear()
    return listening


def document(paths: dict[str, Any], version: str = "3.1.0", **more: Any) -> dict[str, Any]:
    """An OpenAPI document with these paths."""
    return {"openapi": version, "info": {"title": "t", "version": "1"}, "paths": paths, **more}


def parameter(name: str, part: str = "query", schema: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": part, "schema": schema or {"type": "string"}, **more}


def takes(schema: Any, media_type: str = "application/json", required: bool = True) -> dict[str, Any]:
    """A request's body."""
    return {"requestBody": {"required": required, "content": {media_type: {"schema": schema}}}}


def box(folder: Path, value: Any, *, web: Web | None = None, **declared: Any) -> OpenApiToolbox:
    """The tools of a document in a file (text or an object), or at a URL."""
    spec = declared.pop("spec", "api.json")
    if value is not None:
        (folder / spec).write_text(value if isinstance(value, str) else json.dumps(value))
    given = {"name": "pets", "type": "openapi", "spec": spec, "private": True, **declared}
    return OpenApiToolbox(OpenApiTool.model_validate(given), folder=folder, web=web, clock=Waits().clock)


def tools_of(folder: Path, value: Any, **declared: Any) -> dict[str, Tool]:
    declared = {"url": "http://127.0.0.1:1"} | declared
    return {tool.spec.name: tool for tool in opened(box(folder, value, **declared))}


def schema_of(folder: Path, operation: dict[str, Any], path: str = "/x", **more: Any) -> Mapping[str, Any]:
    """What a model is told of the parameters of that one operation."""
    (tool,) = tools_of(folder, document({path: {"post": operation}}, **more)).values()
    jsonschema.Draft202012Validator.check_schema(tool.spec.parameters)
    return tool.spec.parameters


def sent(folder: Path, site: Site, path: str, operation: dict[str, Any], arguments: dict[str, Any]) -> ToolResult:
    """Use the one operation of a document with these arguments."""
    (tool,) = tools_of(folder, document({path: {"post": operation}}), url=f"{site.url}/v1").values()
    return use_one(tool, arguments)


# What is offered.


def test_operations_become_tools_under_names_that_models_can_call(tmp_path: Path) -> None:
    paths = {
        "/pets": {"get": {"operationId": "list.pets", "summary": "List pets.", "description": "All of them"}},
        "/pets/{petId}": {"delete": {"parameters": [parameter("petId", "path")]}, "summary": "no operation"},
        "/1": {
            "get": {"operationId": "9 lives"},
            "put": {"operationId": "list-pets"},
            "post": {"operationId": "x" * 90},
        },
        "/2": {"post": {"operationId": "list_pets"}},
    }
    tools = tools_of(tmp_path, document(paths), usd=0.5, timeout_s=3, max_output=500)
    assert list(tools) == ["list_pets", "delete_pets_petId", "_9_lives", "list-pets", "x" * 64, "list_pets_2"]
    spec = tools["list_pets"].spec
    assert (spec.description, spec.safe, spec.cost_nano_usd) == ("List pets. All of them", True, 500_000_000)
    assert (spec.timeout_s, spec.max_output) == (3, 500)
    assert not tools["delete_pets_petId"].spec.safe
    assert list(tools_of(tmp_path, document(paths), prefix=True, include=["list*"], exclude=["*-pets"])) == [
        "pets__list_pets",
        "pets__list_pets_2",
    ]


def test_parameters_and_body_are_one_schema(tmp_path: Path) -> None:
    operation = {
        "parameters": [
            {"$ref": "#/components/parameters/Limit"},
            parameter("filter[name]", description="Of the pet"),
            parameter("id", "header", required=True),
            parameter("Authorization", "header", required=True),
        ],
        **takes({"$ref": "#/components/schemas/Pet"}),
    }
    pet = {
        "type": "object",
        "required": ["name", "born"],
        "properties": {
            "name": {},
            "born": {"type": "string", "readOnly": True},
            "tag": {"type": "string"},
        },
    }
    components = {"schemas": {"Pet": pet}, "parameters": {"Limit": parameter("limit", schema={"type": "integer"})}}
    schema = schema_of(tmp_path, operation, "/x/{id}", components=components)
    assert schema == {
        "type": "object",
        "additionalProperties": False,
        "required": ["id", "path_id", "name"],
        "properties": {
            "limit": {"type": "integer"},
            "filter_name_": {"type": "string", "description": "Of the pet"},
            "id": {"type": "string"},
            "path_id": {"type": "string"},
            "name": {},
            "tag": {"type": "string"},
        },
    }


def test_a_body_that_cannot_stand_beside_the_parameters_is_one_of_them(tmp_path: Path) -> None:
    body = {"type": "object", "properties": {"id": {"type": "integer"}}}
    schema = schema_of(tmp_path, {**takes(body)}, "/x/{id}")
    assert schema["properties"] == {"body": body, "id": {"type": "string"}}
    assert set(schema["required"]) == {"id", "body"}
    for other in ({"type": "array", "items": {}}, {"oneOf": [body, {"type": "string"}]}, True):
        assert "body" in schema_of(tmp_path, takes(other, required=False))["properties"]


def test_schemas_of_3_0_are_told_as_json_schemas(tmp_path: Path) -> None:
    properties = {
        "a": {"type": "string", "nullable": True, "enum": ["x"], "example": "x", "xml": {}},
        "b": {"type": "integer", "minimum": 1, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": False},
        "c": {"type": "file", "pattern": "^(a+)+$", "default": "2020-01-01"},
    }
    schema = schema_of(tmp_path, takes({"type": "object", "properties": properties}), version="3.0.3")
    assert schema["properties"] == {
        "a": {"type": ["string", "null"], "enum": ["x", None]},
        "b": {"type": "integer", "exclusiveMinimum": 1, "maximum": 9},
        "c": {"description": "Pattern: ^(a+)+$", "default": "2020-01-01"},
    }


def test_what_contains_itself_is_cut_and_what_is_endless_is_bounded(tmp_path: Path) -> None:
    tree = {"type": "object", "description": "a node", "properties": {"next": {"$ref": "#/components/schemas/Tree"}}}
    wide = {f"p{n}": {"$ref": "#/components/schemas/Wide"} for n in range(40)}
    many = {
        f"L{n}": {
            "type": "object",
            "properties": {f"a{m}": {"$ref": f"#/components/schemas/L{n + 1}"} for m in range(9)},
        }
        for n in range(9)
    }
    schemas = {"Tree": tree, "Wide": {"type": "object", "properties": wide}, **many, "L9": {"type": "string"}}
    for name in ("Tree", "Wide", "L0"):
        schema = schema_of(tmp_path, takes({"$ref": f"#/components/schemas/{name}"}), components={"schemas": schemas})
        assert len(json.dumps(schema)) < 100_000
        if name == "Tree":
            assert schema["properties"]["next"] == {"type": "object", "description": "a node"}


def test_hanoks_own_document_is_read(tmp_path: Path) -> None:
    tools = tools_of(tmp_path, openapi())
    assert len(tools) > 30
    jsonschema.Draft202012Validator.check_schema(tools["post_v1_responses"].spec.parameters)
    assert tools["post_v1_embeddings"].spec.parameters["required"] == ["model", "input"]


def test_operations_that_take_files_are_not_offered(tmp_path: Path) -> None:
    paths = {
        "/a": {"post": takes({}, "multipart/form-data")},
        "/b": {"post": takes({}, "application/merge-patch+json")},
    }
    assert list(tools_of(tmp_path, document(paths))) == ["post_b"]


# What is sent.


def test_arguments_are_sent_where_the_document_wants_them(site: Site, tmp_path: Path) -> None:
    operation = {
        "parameters": [
            parameter("tags", schema={"type": "array"}),
            parameter("ids", schema={"type": "array"}, explode=False),
            parameter("pipes", schema={"type": "array"}, style="pipeDelimited", explode=False),
            parameter("deep", schema={"type": "object"}, style="deepObject"),
            parameter("flat", schema={"type": "object", "properties": {"r": {}}}),
            {"name": "json", "in": "query", "content": {"application/json": {"schema": {"type": "object"}}}},
            parameter("X-Trace", "header"),
            parameter("theme", "cookie"),
            parameter("keys", "path", schema={"type": "array"}),
        ],
        **takes({"type": "object", "properties": {"name": {"type": "string"}}}),
    }
    query = "tags=a%26b&tags=c&ids=1,2&pipes=x%7Cy&deep%5Bk%5D=v&r=5&json=%7B%22a%22%3A1%7D"
    site.page(f"/v1/pets/a%2Fb,c/x?{query}", "fine")
    arguments: dict[str, Any] = {
        "tags": ["a&b", "c"],
        "ids": [1, 2],
        "pipes": ["x", "y"],
        "deep": {"k": "v"},
        "flat": {"r": 5, "admin": True},
        "json": {"a": 1},
        "X-Trace": "t1",
        "theme": "a b;c",
        "keys": ["a/b", "c"],
        "name": "Rex",
    }
    assert sent(tmp_path, site, "/pets/{keys}/x", operation, arguments).content == "fine"
    headers = site.asked[0][2]
    assert (headers["x-trace"], headers["cookie"]) == ("t1", "theme=a%20b%3Bc")
    assert site.bodies == [b'{"name":"Rex"}']


def test_forms_and_kinds_of_json_are_sent_as_what_they_are(site: Site, tmp_path: Path) -> None:
    site.page("/v1/x", "fine")
    schema = {"type": "object", "properties": {"a": {}, "b": {}}}
    sent(tmp_path, site, "/x", takes(schema, "application/x-www-form-urlencoded"), {"a": "1&2", "b": ["x", "y"]})
    sent(tmp_path, site, "/x", takes(schema, "application/merge-patch+json"), {"a": None})
    sent(tmp_path, site, "/x", takes(schema, required=False), {})
    sent(tmp_path, site, "/x", takes({"type": "array"}), {"body": [1]})
    assert site.bodies == [b"a=1%262&b=x&b=y", b'{"a":null}', b"", b"[1]"]
    assert [headers.get("content-type") for _, _, headers in site.asked] == [
        "application/x-www-form-urlencoded",
        "application/merge-patch+json",
        None,
        "application/json",
    ]


def test_declared_headers_are_sent_and_hidden_and_are_no_parameters(site: Site, tmp_path: Path) -> None:
    site.page("/v1/x", f"you sent {TOKEN}")
    operation = {"parameters": [parameter("X-Api-Key", "header", required=True)]}
    declared = {"url": f"{site.url}/v1", "headers": {"x-api-key": TOKEN}}
    (tool,) = tools_of(tmp_path, document({"/x": {"get": operation}}), **declared).values()
    assert tool.spec.parameters["properties"] == {}
    assert use_one(tool, {}).content == "you sent [secret]"
    assert site.asked[0][2]["x-api-key"] == TOKEN


def test_line_ends_in_arguments_reach_no_header(site: Site, tmp_path: Path) -> None:
    operation = {"parameters": [parameter("X-Trace", "header"), parameter("theme", "cookie")]}
    result = sent(tmp_path, site, "/x", operation, {"X-Trace": "a\r\nx-admin: 1"})
    assert (result.failed, result.content) == (True, "`X-Trace` has characters in it that cannot stand in a header")
    assert site.asked == []


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.text(alphabet="./\\%2eE5cF?#&=;,@:\r\n\0 {}[]ab한．／", max_size=12) | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("a&=?#/[]", max_size=3), inner, max_size=2),
    max_leaves=4,
)
(HOSTILE,) = operations_of(
    document(
        {
            "/v1/{a}/x-{b}": {
                "get": {
                    "parameters": [
                        parameter("a", "path"),
                        parameter("b", "path", style="label"),
                        parameter("q"),
                        parameter("flat", schema={"type": "object", "properties": {"r": {}}}),
                        parameter("H", "header"),
                        parameter("C", "cookie"),
                    ]
                }
            }
        }
    )
)


@settings(max_examples=100, deadline=None)
@given(a=VALUES, b=VALUES, c=VALUES)
@example(a="..", b="x", c="&admin=1")
@example(a=["..", "x"], b="/../", c={"admin": 1, "r": "&"})
@example(a={"../..": "x"}, b="x", c="\r\nhost: evil")
def test_no_argument_changes_a_path_the_parameters_or_the_headers(a: Any, b: Any, c: Any) -> None:
    try:
        filled = request_of(HOSTILE, {"a": a, "b": b, "q": c, "flat": c, "H": c, "C": c})
    except BadArgument:
        return
    parts = urlsplit(f"https://x.example{filled.path}?{filled.query}")
    assert parts.path == filled.path
    assert parts.path.count("/") == 3
    assert not {".", ".."} & set(parts.path.split("/"))
    names = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    assert names <= ({"r"} if isinstance(c, dict) else {"q", "flat"})
    assert set(filled.headers) <= {"h", "cookie"}
    assert all("\r" not in value and "\n" not in value for value in filled.headers.values())
    assert ";" not in filled.headers.get("cookie", "")


# Documents.


def test_documents_are_read_from_yaml_too_and_dates_in_them_are_text(tmp_path: Path) -> None:
    schema = {"type": "string", "enum": ["2020-01-01"], "default": "2020-01-01"}
    text = yaml.safe_dump(document({"/x": {"get": {"parameters": [parameter("d", schema=schema)]}}}))
    (tool,) = tools_of(tmp_path, text.replace("'2020-01-01'", "2020-01-01"), spec="api.yaml").values()
    assert tool.spec.parameters["properties"]["d"] == schema


def test_a_document_that_is_fetched_is_asked_for_once_with_the_credentials(site: Site, tmp_path: Path) -> None:
    servers = [{"url": "/{version}/", "variables": {"version": {"default": "v2"}}}]
    site.page("/docs/openapi.json", json.dumps(document({"/x": {"get": {}}}, servers=servers)))
    site.page("/v2/x", "fine")
    fetched = box(tmp_path, None, spec=f"{site.url}/docs/openapi.json", headers={"X-Key": TOKEN})

    async def twice() -> list[Any]:
        return [*await fetched.open(), *await fetched.open()]

    tool, again = asyncio.run(twice())
    assert tool is again
    assert use_one(tool, {}).content == "fine"
    assert [(path, headers["x-key"]) for _, path, headers in site.asked] == [
        ("/docs/openapi.json", TOKEN),
        ("/v2/x", TOKEN),
    ]


def test_a_fetched_document_cannot_send_credentials_to_another_server(site: Site, tmp_path: Path) -> None:
    url = site.page(
        "/openapi.json", json.dumps(document({"/x": {"get": {}}}, servers=[{"url": "https://evil.example"}]))
    )
    with pytest.raises(
        ToolUnavailable, match=r"its server evil\.example is not where the document came from"
    ) as refused:
        opened(box(tmp_path, None, spec=url, headers={"X-Key": TOKEN}))
    assert refused.value.hint == "declare the server as `url`"
    assert opened(box(tmp_path, None, spec=url, hosts=["127.0.0.1", "evil.example"]))
    site.asked.clear()
    assert opened(box(tmp_path, None, spec=url, url="https://other.example", headers={"X-Key": TOKEN}))
    assert "x-key" not in site.asked[0][2]


def test_operations_may_have_servers_of_their_own(site: Site, tmp_path: Path) -> None:
    paths = {"/x": {"get": {"servers": [{"url": f"{site.url}/own"}]}}, "/y": {"get": {}}}
    value = document(paths, servers=[{"url": f"{site.url}/all"}])
    site.page("/own/x", "own")
    site.page("/all/y", "all")
    assert [use_one(tool, {}).content for tool in opened(box(tmp_path, value))] == ["own", "all"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('{"swagger": "2.0"}', "it is Swagger 2.0; convert it to OpenAPI 3 first"),
        ('{"openapi": "4.0"}', "it is no OpenAPI 3 document: `openapi` is 4.0"),
        ("{}", "`openapi` is missing"),
        ("{broken", "it is no JSON: "),
        ("a: [", "it is no YAML: "),
        ("just text", "it is no OpenAPI document"),
        ("[" * 100_000, "it goes deeper than 200 levels"),
        ('{"a":' * 100_000, "it is no JSON"),
        ("!!python/object/apply:os.system [ls]", "it is no YAML"),
        (document({}), "it has no operation that may be offered"),
        (document({"/x": {"get": {"parameters": [{"$ref": "#/nope"}]}}}), "GET /x: `$ref: #/nope` names nothing in it"),
        (
            document({"/x": {"get": {"parameters": [{"name": "a"}]}}}),
            "GET /x: a parameter has no `name`, or is in None",
        ),
        (document({"/x": {"$ref": "paths.yaml#/x"}}), "/x: `$ref: paths.yaml#/x` is of another document"),
        (document({"/x": {"post": takes({"$ref": "#/paths"})}, "/y": {"get": []}}), "GET /y: it is no object"),
        (document({}) | {"paths": [1]}, "`paths` is no object"),
    ],
)
def test_documents_that_do_not_hold_together_are_told_with_the_place(tmp_path: Path, value: Any, said: str) -> None:
    with pytest.raises(ToolUnavailable) as refused:
        tools_of(tmp_path, value)
    assert str(refused.value).startswith("tool 'pets': api.json: ")
    assert said in str(refused.value)


def test_references_in_circles_come_to_an_end(tmp_path: Path) -> None:
    schemas = {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}}
    with pytest.raises(ToolUnavailable, match="references lead to one another without end"):
        schema_of(tmp_path, takes({"$ref": "#/components/schemas/A"}), components={"schemas": schemas})


def test_documents_that_are_not_there_are_told(site: Site, tmp_path: Path) -> None:
    for spec, said in (
        ("no.json", "no.json: it cannot be read: No such file"),
        (f"{site.url}/no.json?key={TOKEN}", "/no.json: its server answered 404"),
        ("http://169.254.169.254/api", "is where a cloud tells machines their credentials"),
    ):
        with pytest.raises(ToolUnavailable) as refused:
            opened(box(tmp_path, None, spec=spec))
        assert said in str(refused.value)
        assert TOKEN not in str(refused.value)


def test_a_file_without_a_server_needs_one_and_too_many_operations_a_choice(tmp_path: Path) -> None:
    with pytest.raises(ToolUnavailable, match="its server '/' is no URL") as refused:
        opened(box(tmp_path, document({"/x": {"get": {}}})))
    assert refused.value.hint == "declare the server as `url`"
    with pytest.raises(ToolUnavailable, match="it has 300 operations"):
        tools_of(tmp_path, document({f"/x{n}": {"get": {}} for n in range(300)}))
    with pytest.raises(ToolUnavailable, match="header 'host'"):
        tools_of(tmp_path, document({"/x": {"get": {}}}), headers={"Host": "x"})
