"""docs/platform-yaml.md and the JSON schema, from the tree. A test fails when the page on disk differs."""

from __future__ import annotations

import json
import types
import typing
from typing import Any, cast

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from hanok.spec import tree
from hanok.spec.tree import cluster

_HEAD = """\
# platform.yaml

Generated from the code by `make docs`; do not edit. For completion in an editor: `hanok schema > platform.schema.json`,
then begin the file with `# yaml-language-server: $schema=platform.schema.json`.

Strings may hold `${env:NAME}` or `${env:NAME:-default}`. Unknown keys are refused.
"""
BLOCKS: list[tuple[str, type[BaseModel]]] = [
    ("The file", tree.Platform),
    ("gateway", tree.Gateway),
    ("gateway.responses", tree.KeptResponses),
    ("gateway.a2a", tree.A2a),
    ("ledger", tree.Books),
    ("telemetry", tree.Telemetry),
    ("telemetry.export[]", tree.Export),
    ("cache", tree.Cache),
    ("teams[]", tree.Team),
    ("users[]", tree.User),
    ("budgets[]", tree.Budget),
    ("limits[]", tree.Limit),
    ("batches", tree.Batches),
    ("batches.window", tree.BatchWindow),
    ("models[]", tree.Model),
    ("models[].serve, engine: openai", tree.OpenAIEndpoint),
    ("models[].serve, engine: llamacpp", tree.LlamaCppEndpoint),
    ("models[].serve, engine: vllm", tree.VllmEndpoint),
    ("models[].serve, engine: litellm", tree.LiteLLMEndpoint),
    ("models[].serve, engine: sentence-encoder", tree.SentenceEncoderEndpoint),
    ("models[].serve, engine: echo", tree.EchoEndpoint),
    ("models[].serve, engine: script", tree.ScriptEndpoint),
    ("models[].serve.turns[] of engine script", tree.Turn),
    ("models[].serve.turns[].call[] of engine script", tree.ScriptedCall),
    ("models[].routing", tree.Routing),
    ("models[].routing.headers[]", tree.HeaderRule),
    ("models[].price", tree.Price),
    ("models[].timeouts", tree.Timeouts),
    ("models[].fallbacks", tree.Fallbacks),
    ("models[].queue", tree.Queue),
    ("models[].breaker", tree.Breaker),
    ("models[].hedge", tree.Hedge),
    ("models[].cache", tree.ModelCache),
    ("models[].cache.semantic", tree.Semantic),
    ("models[].deploy", tree.Deploy),
    ("models[].deploy.load", tree.PlannedLoad),
    ("models[].deploy.latency", tree.PlannedLatency),
    ("models[].scale", tree.ModelScale),
    ("models[].scale.up", tree.ScaleUp),
    ("models[].scale.down", tree.ScaleDown),
    ("tiers[]", tree.Auto),
    ("tiers[].rules", tree.TierRules),
    ("tiers[].rules.cues[]", tree.TierCue),
    ("tiers[].examples", tree.TierExamples),
    ("knowledge[]", tree.Knowledge),
    ("knowledge[].sources[]", tree.Source),
    ("knowledge[].parse", tree.Parsing),
    ("knowledge[].split[]", tree.Split),
    ("knowledge[].embed", tree.Embedding),
    ("knowledge[].index", tree.Index),
    ("knowledge[].retrieve", tree.Retrieve),
    ("knowledge[].answer", tree.Answering),
    ("vector_stores", tree.VectorStores),
    ("milvus", tree.Milvus),
    ("prompts[]", tree.Prompt),
    ("tools[], type: http", tree.HttpTool),
    ("tools[], type: knowledge", tree.KnowledgeTool),
    ("tools[], type: python", tree.PythonTool),
    ("tools[], type: code", tree.CodeTool),
    ("tools[], type: mcp", tree.McpTool),
    ("tools[], type: agent", tree.AgentTool),
    ("tools[], type: openapi", tree.OpenApiTool),
    ("agents[]", tree.Agent),
    ("agents[].memory", tree.Memory),
    ("agents[].memory.long_term", tree.LongTerm),
    ("agents[].limits", tree.AgentLimits),
    ("agents[].scale", tree.Scale),
    ("runs", tree.Runs),
    ("cluster", tree.Cluster),
    ("cluster.repository", cluster.Repository),
    ("cluster.hanok", cluster.Own),
    ("cluster.entry", cluster.Entry),
    ("cluster.entry.acme", cluster.Acme),
    ("cluster.nodes", cluster.Nodes),
    ("cluster.nodes.sharing", cluster.Sharing),
    ("cluster.storage", cluster.Storage),
    ("cluster.storage.fsx", cluster.Lustre),
    ("cluster.serving", cluster.Serving),
    ("cluster.serving.litellm", cluster.LiteLLMProxy),
    ("cluster.milvus", cluster.MilvusServer),
    ("cluster.postgres", cluster.PostgresServer),
    ("cluster.redis", cluster.RedisServer),
    ("cluster.observe", cluster.Observe),
    ("cluster.observe.alerts", cluster.Told),
    ("cluster.jobs", cluster.Jobs),
    ("cluster.jobs.machine", cluster.JobMachine),
    ("cluster.kagent", cluster.Kagent),
    ("cluster.secrets", cluster.Secrets),
    ("cluster.teams[]", cluster.Space),
]


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of platform.yaml."""
    found = tree.Platform.model_json_schema()
    for block, name in (
        ("Model", "serve"),
        ("Telemetry", "export"),
        ("Knowledge", "sources"),
        ("Knowledge", "split"),
        ("Agent", "knowledge"),
    ):
        _or_one(found["$defs"][block]["properties"], name)
    fallbacks = found["$defs"]["Model"]["properties"]["fallbacks"]
    found["$defs"]["Batches"]["properties"]["window"]["anyOf"].append({"const": "always"})
    names = {"type": "array", "items": {"type": "string"}}
    fallbacks["anyOf"] = [names, {"$ref": fallbacks.pop("$ref")}]
    cache = found["$defs"]["Model"]["properties"]["cache"]
    cache["anyOf"] = [{"type": "boolean"}, *cache["anyOf"]]
    routing = found["$defs"]["Model"]["properties"]["routing"]
    routing["anyOf"] = [found["$defs"]["Routing"]["properties"]["policy"], {"$ref": routing.pop("$ref")}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "platform.yaml"}


def _or_one(properties: dict[str, Any], name: str) -> None:
    """A list that may be written as its one item."""
    several = properties[name]
    items = several.pop("items")
    for word in ("type", "minItems"):
        several.pop(word, None)
    several["anyOf"] = [{"type": "array", "items": items}, items]


def reference() -> str:
    """The reference page in Markdown."""
    return _HEAD + "".join(_block(title, block) for title, block in BLOCKS)


def _block(title: str, block: type[BaseModel]) -> str:
    rows = [_row(field.alias or name, field) for name, field in block.model_fields.items()]
    doc = (block.__doc__ or "").strip()
    return f"\n## {title}\n\n{doc}\n\n| key | takes | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _row(name: str, field: FieldInfo) -> str:
    meaning = (field.description or "Which engine.").replace("|", "\\|").replace("\n", " ")
    return f"| `{name}` | {_takes(field.annotation)} | {_default(field)} | {meaning} |"


def _told_by(choices: tuple[Any, ...]) -> str:
    """The key by which one of several blocks is told from the others."""
    blocks = [typing.get_args(each)[0] if typing.get_args(each) else each for each in choices]
    return "engine" if any("engine" in getattr(block, "model_fields", ()) for block in blocks) else "type"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "its defaults"
    if field.default is PydanticUndefined:
        return "**required**"
    default: Any = field.default
    if default is None:
        return "–"
    if isinstance(default, BaseModel):
        return "its defaults"
    return f"`{json.dumps(default)}`"


def _takes(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _takes(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        kinds = [_takes(each) for each in arguments if each is not type(None)]
        block = f"block by `{_told_by(arguments)}`" if kinds.count("block") > 1 else "block"
        return " or ".join(block if each == "block" else each for each in dict.fromkeys(kinds))
    if origin is list:
        return f"list of {_takes(arguments[0])}"
    if origin is dict:
        return f"map to {_takes(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "block"
    words = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true, false",
        SecretStr: "secret",
        Any: "any value",
    }
    return cast("dict[Any, str]", words).get(annotation, "text")
