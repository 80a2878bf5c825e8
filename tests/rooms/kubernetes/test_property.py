"""Whatever a platform is put together from: it is rendered, or refused by line; whole, twice alike, without a secret.

Pieces are drawn one of each kind, so that combinations come together that nobody thought of.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanok.errors import SpecError
from tests.rooms.kubernetes.rendering import faults, made

MARKER = "none-of-this-in-a-tree"
EXAMPLES = int(os.environ.get("HANOK_RENDER_EXAMPLES", "0"))
"""More of them, others each time; without it a few, the same each time."""


def secret(name: str, before: str = "") -> str:
    """A variable where a secret stands, whose default is this machine's."""
    return f"${{env:{name}:-{before}{MARKER}}}"


SMALL = {"weights": "Qwen/Qwen3-8B", "context_tokens": 8192, "concurrency": 4, "gpu": ["g6.xlarge", "g6e.xlarge"]}
LARGE = {"weights": "meta-llama/Llama-3.3-70B-Instruct", "context_tokens": 8192, "gpu": ["g6e.*"]}
VECTORS = {"weights": "Qwen/Qwen3-Embedding-0.6B", "context_tokens": 8192, "concurrency": 4, "gpu": ["g6.xlarge"]}
LLAMA = {"engine": "llamacpp", "model": "gemma3-270m"}
OPENAI = {"engine": "openai", "url": "https://api.example.com/v1", "model": "m", "key": secret("OPENAI_KEY")}
CHATS: list[dict[str, Any]] = [
    {"serve": {"engine": "echo"}},
    {"serve": LLAMA, "deploy": SMALL},
    {"serve": LLAMA, "deploy": SMALL, "scale": {"min": 0, "max": 3}, "routing": "prefix"},
    {"serve": LLAMA, "deploy": LARGE, "scale": {"min": 2, "max": 4}},
    {"serve": {"engine": "vllm", "model": "Qwen/Qwen3-8B"}, "deploy": {"gpu": ["g6.xlarge"], "context_tokens": 4096}},
    {"serve": OPENAI, "cache": {"ttl_s": 60}},
    {"serve": {"engine": "litellm", "model": "bedrock/anthropic.claude", "options": {"aws_region": "eu-west-1"}}},
]
EMBEDS: list[dict[str, Any]] = [
    {"serve": {"engine": "sentence-encoder"}},
    {"serve": {"engine": "sentence-encoder"}, "deploy": VECTORS, "scale": {"min": 1, "max": 2, "kv_cache": None}},
]
SOURCES: list[dict[str, Any]] = [
    {"builtin": "handbook"},
    {"uri": "s3://acme-documents/docs/"},
    {"git": "https://git.example.com/acme/docs.git"},
    {"path": "docs"},
]
TOOL = {
    "name": "search",
    "type": "http",
    "description": "Searches.",
    "url": "https://search.example.com/?q={query}",
    "parameters": {"query": "string"},
    "headers": {"Authorization": f"Bearer {secret('SEARCH_KEY')}"},
}
AGENT = {"name": "helper", "description": "Helps.", "model": "chat", "system_prompt": "Help."}
AGENTS: list[list[dict[str, Any]]] = [
    [],
    [AGENT],
    [{**AGENT, "tools": [TOOL], "memory": {"ttl_s": 60}, "scale": {"min": 1, "max": 3}}],
]
BOOKS: list[dict[str, Any]] = [
    {},
    {"budgets": [{"of": "key", "usd": 5, "per": "day"}], "batches": {"window": {"from": "22:00", "to": "06:00"}}},
    {"teams": [{"name": "red", "models": ["chat"]}], "budgets": [{"of": "team", "name": "red", "usd": 9}]},
    {
        "ledger": {"database": secret("DATABASE", "postgresql://h/"), "redis": secret("REDIS", "redis://h/")},
        "gateway": {"admin_key": secret("ADMIN")},
    },
    {
        "ledger": {"database": f"postgresql://me:{MARKER}@localhost/h", "redis": f"redis://:{MARKER}@127.0.0.1:6379"},
        "gateway": {"workers": 2},
        "budgets": [{"of": "key", "usd": 5, "per": "day"}],
    },
    {"gateway": {"url": "https://ai.example.com"}, "limits": [{"of": "key", "requests_per_minute": 60}]},
]
SENT = {"to": "langfuse", "url": "https://l.example.com", "public_key": "pk", "secret_key": secret("LANGFUSE")}
SERVINGS: list[dict[str, Any]] = [{}, {"litellm": True}, {"route": "llm-d"}, {"token": None}]
WATCHED: list[dict[str, Any]] = [
    {},
    {"prometheus": False, "collector": False},
    {"langfuse": True, "mlflow": True},
    {"alerts": {"url": "${env:ALERTS_URL}"}},
]
JOBS: list[dict[str, Any]] = [
    {},
    {"kueue": True, "ray": True},
    {"kueue": True, "trainer": True, "gpus": 1, "gpu": "g6.xlarge"},
    {"kueue": True, "gpus": 4, "gpu": "l40s", "machine": {"gpus": 2, "cpu": 30, "memory_gib": 120}},
]
STORES: list[dict[str, Any]] = [
    {},
    {"store": "aws-parameter-store"},
    {"store": "vault", "url": "https://vault.example.com"},
    {"store": "existing", "name": "ours"},
]
CLUSTERS = st.fixed_dictionaries(
    {
        "secrets": st.sampled_from(STORES),
        "serving": st.sampled_from(SERVINGS),
        "observe": st.sampled_from(WATCHED),
        "jobs": st.sampled_from(JOBS),
        "kagent": st.sampled_from([{}, {"enabled": True}]),
        "postgres": st.sampled_from([{}, {"instances": 1}]),
        "milvus": st.sampled_from([{}, {"mode": "standalone"}]),
        "nodes": st.sampled_from([{}, {"spot": True}, {"sharing": {"mode": "time-slicing"}}, {"dra": True}]),
        "entry": st.sampled_from(
            [
                {},
                {"expose": "none"},
                {"expose": "public", "issuer": "letsencrypt"},
                {"expose": "public", "acme": {"email": "a@b.io"}},
            ]
        ),
        "hanok": st.sampled_from([{}, {"replicas": 3, "max_replicas": 3}]),
        "account": st.sampled_from([None, "123456789012"]),
        "repository": st.just({"url": "https://git.example.com/acme.git"}),
    }
)


@st.composite
def platforms(draw: st.DrawFn) -> dict[str, Any]:
    """A whole platform file."""
    models = [{"name": "chat", **draw(st.sampled_from(CHATS))}]
    source = draw(st.sampled_from([None, *SOURCES]))
    if source:
        models.append({"name": "embed", "type": "embedding", **draw(st.sampled_from(EMBEDS))})
    base = {"name": "docs", "sources": source, **draw(st.sampled_from([{}, {"schedule": "0 2 * * *"}]))}
    return {
        "name": "acme",
        "models": models,
        "knowledge": [base] if source else [],
        "agents": draw(st.sampled_from(AGENTS)),
        "telemetry": draw(st.sampled_from([{}, {"export": SENT}])),
        **draw(st.sampled_from(BOOKS)),
        "cluster": draw(CLUSTERS),
    }


TARGETS = list(itertools.product(["eks", "eks-auto", "kubernetes"], ["flux", "argocd", "flat"]))


@settings(
    max_examples=EXAMPLES or 5,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(platform=platforms(), where=st.sampled_from(TARGETS))
def test_a_platform_of_any_pieces_is_rendered_whole_or_refused_by_its_lines(
    platform: Mapping[str, Any], where: tuple[Any, Any]
) -> None:
    text = yaml.safe_dump(dict(platform), sort_keys=False)
    target, form = where
    try:
        tree = made(text, target=target, form=form)
    except SpecError as refused:
        assert all(each.line and each.message for each in refused.problems), refused
        return
    assert dict(made(text, target=target, form=form).files) == dict(tree.files)
    assert [path for path, content in tree.files.items() if MARKER in content] == []
    with TemporaryDirectory() as folder:
        assert faults(tree, Path(folder) / "tree") == []
