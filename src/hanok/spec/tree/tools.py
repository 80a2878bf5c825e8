"""Tools: what agents may use, each in a few lines."""

from typing import Annotated, Any, Literal, Self, cast

from pydantic import BeforeValidator, Discriminator, Field, SecretStr, StringConstraints, Tag, model_validator
from pydantic_core import PydanticCustomError

from hanok.spec.tree.values import HttpUrl, Number, Tree, Whole

TOOL_NAME = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
TEMPLATE_URL = r"^https?://[^/\s?#@{}]+(/[^\s#]*)?$"
HOST = r"^(\*|(\*\.)?[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$"
POINTER = r"^(/.*)?$"
ToolName = Annotated[str, StringConstraints(pattern=TOOL_NAME)]
"""What every provider takes as a function's name."""
Schema = dict[str, Any]
"""A JSON Schema (2020-12) of an object."""
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
_JSON_TYPES = ("string", "number", "integer", "boolean", "array", "object")
_OF_SCHEMAS = ("properties", "$ref", "$defs", "anyOf", "oneOf", "allOf", "additionalProperties", "patternProperties")


def _as_schema(value: object) -> object:
    """`{query: string, top_k: {type: integer, default: 5}}` stands for the schema of an object with these.

    Those without a default are needed. What has a word of schemas of objects in it is taken as it stands.
    """
    if not isinstance(value, dict) or not value:
        return cast("object", value)
    given = cast("dict[str, object]", value)
    if given.get("type") == "object" or any(word in given for word in _OF_SCHEMAS):
        return given
    if not all(isinstance(each, dict) or each in _JSON_TYPES for each in given.values()):
        words = {"types": ", ".join(_JSON_TYPES)}
        raise PydanticCustomError("schema_short", "must be a JSON Schema, or give each argument one of {types}", words)
    named = {name: cast("Schema", each) if isinstance(each, dict) else {"type": each} for name, each in given.items()}
    needed = [name for name, each in named.items() if "default" not in each]
    return {"type": "object", "properties": named, "required": needed, "additionalProperties": False}


def is_plain(schema: Schema) -> bool:
    """Whether it says no more than arguments' types, as the short form does: that is a JSON Schema for sure."""
    properties: object = schema.get("properties")
    if not isinstance(properties, dict):
        return not schema
    named = cast("dict[str, object]", properties)
    types = {name: cast("Schema", each).get("type") if isinstance(each, dict) else None for name, each in named.items()}
    return all(each in _JSON_TYPES for each in types.values()) and _as_schema(types) == schema


Parameters = Annotated[Schema, BeforeValidator(_as_schema)]


class _Tool(Tree):
    """What all tools have."""

    name: ToolName = Field(description="What models call it by. Unique.")
    description: str = Field(default="", max_length=4000, description="What it does, for models.")
    timeout_s: Number = Field(default=30.0, gt=0, le=3600, description="Longest time for one call, in seconds.")
    max_output: Whole = Field(
        default=20_000, ge=100, le=1_000_000, description="Longest result handed to a model, in characters."
    )
    usd: Number = Field(default=0.0, ge=0, description="What one call costs, in US dollars: it counts as spent.")


class _Web(Tree):
    """What tools have that ask other servers."""

    headers: dict[str, SecretStr] = Field(default={}, description="Headers to send, as `Authorization`.")
    hosts: list[Annotated[str, StringConstraints(pattern=HOST)]] = Field(
        default=[], description="More hosts that redirects may lead to, as `*.example.com`; that of its URL is one."
    )
    private: bool = Field(default=False, description="Also addresses of private networks, never those of metadata.")
    max_bytes: Whole = Field(default=2_000_000, ge=1, description="Longest answer that is read, in bytes.")
    retries: Whole = Field(default=2, ge=0, le=10, description="More attempts where one fails that may be repeated.")


class HttpTool(_Web, _Tool):
    """One HTTP request. `{name}` in `url`, `query` and `body` stands for an argument."""

    type: Literal["http"] = Field(description="An HTTP request.")
    url: Annotated[str, StringConstraints(pattern=TEMPLATE_URL)] = Field(
        description="Where to ask. Arguments may stand in its path and query, never in its host."
    )
    method: Method = Field(default="GET", description="How.")
    parameters: Parameters = Field(
        default={},
        description="JSON Schema of its arguments, or in short `{query: string}`; by default a text for each `{name}`.",
    )
    query: dict[str, str] = Field(default={}, description="Query parameters; by default, for GET, the arguments.")
    body: Any = Field(default=None, description="JSON to send; by default, but for GET and DELETE, the arguments.")
    result: Annotated[str, StringConstraints(pattern=POINTER)] = Field(
        default="", description="JSON pointer to the part of the answer that counts, as `/results`."
    )
    safe: bool | None = Field(
        default=None, description="Whether it may be repeated when it is not known to have happened; by default GET."
    )


class KnowledgeTool(_Tool):
    """A search in a declared knowledge base."""

    type: Literal["knowledge"] = Field(description="A search.")
    base: str = Field(min_length=1, description="The knowledge base.")
    k: Whole | None = Field(default=None, ge=1, le=100, description="Passages to give; by default as the base says.")
    filters: dict[str, Any] | None = Field(default=None, description="Only passages that fit, in the form of searches.")


class _Sandboxed(_Tool):
    """What tools have that run Python in the sandbox."""

    timeout_s: Number = Field(default=5.0, gt=0, le=300, description="Longest time for one call, in seconds.")
    memory_mib: Number = Field(default=64.0, ge=1, le=4096, description="Memory that one call may take.")


class PythonTool(_Sandboxed):
    """A Python function, run in a sandbox without files, network or processes."""

    type: Literal["python"] = Field(description="A Python function.")
    code: str = Field(min_length=1, max_length=100_000, description="Python with the function in it.")
    function: str | None = Field(default=None, description="Which; by default the last that is defined.")
    parameters: Parameters | None = Field(
        default=None, description="JSON Schema of its arguments; by default read from its annotations."
    )


class CodeTool(_Sandboxed):
    """Python that the model writes, run in the same sandbox."""

    type: Literal["code"] = Field(description="Python that the model writes.")
    functions: list[ToolName] = Field(
        default=[], description="Tools that the code may call as functions: of type http, knowledge and python."
    )


class McpTool(_Web, _Tool):
    """The tools of an MCP server: one that is started (`command`), or one that is reached (`url`)."""

    type: Literal["mcp"] = Field(description="An MCP server.")
    command: list[str] = Field(default=[], description="How to start it: it speaks over its standard streams.")
    env: dict[str, SecretStr] = Field(default={}, description="Variables of its environment.")
    url: HttpUrl | None = Field(default=None, description="Where to reach it (streamable HTTP).")
    include: list[str] = Field(default=["*"], description="Patterns of its tools' names that are offered.")
    exclude: list[str] = Field(default=[], description="Patterns of those that are not.")
    prefix: bool = Field(default=True, description="Offer its tools as `NAME__tool`, so that no two are alike.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.command) == (self.url is not None):
            raise PydanticCustomError("mcp_way", "must have exactly one of `command` and `url`")
        return self


class AgentTool(_Tool):
    """Another agent, which gets a task and gives its answer."""

    type: Literal["agent"] = Field(description="Another agent.")
    agent: str = Field(min_length=1, description="Which.")
    timeout_s: Number = Field(default=3600.0, gt=0, le=86_400, description="Longest time for one task, in seconds.")


class OpenApiTool(_Web, _Tool):
    """The operations of an OpenAPI document, each a tool."""

    type: Literal["openapi"] = Field(description="An OpenAPI document.")
    spec: str = Field(min_length=1, description="The document: a file, relative to this one, or a URL.")
    url: HttpUrl | None = Field(default=None, description="The server to ask; by default the document's first.")
    include: list[str] = Field(default=["*"], description="Patterns of `operationId`s that are offered.")
    exclude: list[str] = Field(default=[], description="Patterns of those that are not.")
    prefix: bool = Field(default=False, description="Offer them as `NAME__operation`.")


Tool = Annotated[
    HttpTool | KnowledgeTool | PythonTool | CodeTool | McpTool | AgentTool | OpenApiTool, Field(discriminator="type")
]


def _name_or_type(value: object) -> str | None:
    """By what an entry of an agent's `tools` is told: a name alone, or a block's `type`."""
    if isinstance(value, dict):
        type_ = cast("dict[str, object]", value).get("type")
        return None if type_ is None else str(type_)
    return getattr(value, "type", "name")


ToolUse = Annotated[
    Annotated[ToolName, Tag("name")]
    | Annotated[HttpTool, Tag("http")]
    | Annotated[KnowledgeTool, Tag("knowledge")]
    | Annotated[PythonTool, Tag("python")]
    | Annotated[CodeTool, Tag("code")]
    | Annotated[McpTool, Tag("mcp")]
    | Annotated[AgentTool, Tag("agent")]
    | Annotated[OpenApiTool, Tag("openapi")],
    Discriminator(_name_or_type),
]
"""A declared tool's name, or a tool that is declared where it is used."""
