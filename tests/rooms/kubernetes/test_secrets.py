"""No value of a secret ends in a tree, nor in what is said of it, wherever it stands."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from hanok.errors import SpecError
from tests.rooms.kubernetes.rendering import CHAT, made

SECRET = "SEKRET9d8f7a6b5c4d3e"
DOOR = "https://x.example/v1"


def _openai(**more: Any) -> dict[str, Any]:
    return {"models": [{"name": "c", "serve": {"engine": "openai", "url": DOOR, **more}}]}


def _litellm(**options: Any) -> dict[str, Any]:
    return {"models": [{"name": "c", "serve": {"engine": "litellm", "model": "bedrock/x", "options": options}}]}


def _vllm(**flags: Any) -> dict[str, Any]:
    serve = {"engine": "vllm", "model": "Qwen/Qwen3-8B", "flags": flags}
    return {"models": [{"name": "c", "serve": serve, "deploy": {"gpu": ["g6e.*"]}}]}


def _tool(**more: Any) -> dict[str, Any]:
    return {"tools": [{"name": "t", "type": "http", "url": "https://x.example/", **more}]}


def _source(**source: Any) -> dict[str, Any]:
    models = [{"name": "e", "type": "embedding", "serve": {"engine": "sentence-encoder"}}]
    return {"models": models, "knowledge": [{"name": "k", "description": "x", "sources": source}]}


REFUSED: dict[str, dict[str, Any]] = {
    "a key": _openai(key=SECRET),
    "a header": _openai(headers={"X-A": SECRET}),
    "a header beside a variable": _openai(headers={"X-A": "Bearer ${env:P}" + SECRET}),
    "an option": _litellm(aws_secret_access_key=SECRET),
    "an option's block": _litellm(extra_headers={"Authorization": SECRET}),
    "a flag": _vllm(**{"api-key": SECRET}),
    "a flag's variable": _vllm(**{"hf-token": "${env:T:-" + SECRET + "}"}),
    "an MCP server's variable": {"tools": [{"name": "t", "type": "mcp", "command": ["x"], "env": {"A": SECRET}}]},
    "an MCP server's argument": {"tools": [{"name": "t", "type": "mcp", "command": ["x", "--api-key", SECRET]}]},
    "the same as one word": {"tools": [{"name": "t", "type": "mcp", "command": ["x", f"--api-key={SECRET}"]}]},
    "a query": _tool(query={"apikey": SECRET}),
    "an address' query": _tool(url=f"https://x.example/?api_key={SECRET}"),
    "a body": _tool(method="POST", body={"auth": {"token": SECRET}}),
    "a repository's password": _source(git=f"https://u:{SECRET}@git.example/x"),
    "a repository's token": _source(git=f"https://{SECRET}@git.example/x"),
    "a bucket's key": _source(uri="s3://b/x", options={"key": "AK", "secret": SECRET}),
    "a database's password": {"ledger": {"database": f"postgresql://u:{SECRET}@db.example/x"}},
    "a database's query": {"ledger": {"database": f"postgresql://db.example/x?user=u&password={SECRET}"}},
    "a variable of a secret": {
        "gateway": {"admin_key": "${env:ADM}"},
        "cluster": {"hanok": {"variables": {"ADM": SECRET}}},
    },
    "a variable called so": {"cluster": {"hanok": {"variables": {"OPENAI_API_KEY": SECRET}}}},
    "the tree's repository": {"cluster": {"repository": {"url": f"https://u:{SECRET}@git.example/x"}}},
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "a key": _openai(key="${env:K:-" + SECRET + "}"),
    "an option": _litellm(api_key="${env:K:-" + SECRET + "}"),
    "the door": {"gateway": {"admin_key": "${env:K:-" + SECRET + "}"}},
    "alerts": {"cluster": {"observe": {"alerts": {"url": "${env:K:-https://hooks.example/" + SECRET + "}"}}}},
    "Langfuse of one machine": {
        "telemetry": {
            "export": {
                "to": "langfuse",
                "url": "http://localhost:3000",
                "public_key": "pk",
                "secret_key": "${env:K:-" + SECRET + "}",
            }
        },
        "cluster": {"observe": {"langfuse": True}},
    },
}


def _text(platform: dict[str, Any]) -> str:
    plain = {"name": "acme", "models": [{"name": "c", "serve": {"engine": "echo"}}]}
    return yaml.safe_dump({**plain, **platform}, sort_keys=False, width=1000)


@pytest.mark.parametrize("platform", REFUSED.values(), ids=REFUSED)
def test_a_secret_in_the_file_is_refused_by_its_line_and_never_said(platform: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as refused:
        made(_text(platform))
    assert all(each.line for each in refused.value.problems)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("platform", DEFAULTS.values(), ids=DEFAULTS)
def test_a_secrets_default_is_for_one_machine_and_its_value_comes_from_the_store(platform: dict[str, Any]) -> None:
    files = made(_text(platform)).files
    assert [path for path, text in files.items() if SECRET in text] == []
    assert any('"K"' in text or "/K\n" in text for path, text in files.items() if "externalsecret" in path)


def test_what_is_set_where_the_tree_is_rendered_is_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", SECRET)
    agent = {"name": "a", "description": "x", "model": "c", "system_prompt": "I am ${env:HERE:-nobody}"}
    files = made(_text({"agents": [agent], "cluster": {"kagent": {"enabled": True}}})).files
    assert [path for path, text in files.items() if SECRET in text] == []
    with pytest.raises(SpecError, match="HERE is not known where the tree is rendered"):
        made(_text({"cluster": {"region": "${env:HERE}"}}))


def test_a_file_of_an_ordinary_platform_betrays_nothing() -> None:
    tool = _tool(query={"q": "{query}", "count": "5"}, headers={"X-Token": "Bearer ${env:TOKEN}"})
    options = {"aws_region_name": "us-east-1", "api_key": "${env:BEDROCK}", "max_tokens": 5, "tokenizer": "x/y"}
    assert made(_text({**tool, **_litellm(**options), "ledger": {"redis": "redis://r.example:6379/0"}})).files


def test_a_variable_without_a_value_where_the_tree_needs_one_is_refused_by_its_line() -> None:
    text = CHAT.replace("flags: {max-model-len: 16384}", 'flags: {max-model-len: 16384, revision: "${env:REVISION}"}')
    with pytest.raises(SpecError) as refused:
        made(text)
    assert "REVISION" in refused.value.problems[0].message
    filled = made(text + "cluster: {hanok: {variables: {REVISION: v3}}}\n")
    assert "--revision=v3" in str(filled.one("StatefulSet", "chat"))
