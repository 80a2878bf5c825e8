"""The articles that preflight was first tried on: each fault is found in them, and what is mended is not."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from hanok.preflight import Case, Report, gather, preflight
from tests.rooms.preflight.conftest import SEEDS, facts

PLATFORM, CHALLENGES = "agentic-ai-platform.md", "agentic-ai-challenges.md"


@cache
def report(name: str) -> Report:
    if not (SEEDS / name).is_file():
        pytest.skip(f"{name} is not here")
    return preflight(Case(cluster=gather([SEEDS / name]).cluster, facts=facts()))


@pytest.mark.parametrize(
    ("article", "rule", "about", "words"),
    [
        (PLATFORM, "HK514", "litellm-config", "llama3-pool"),
        (PLATFORM, "HK515", "litellm-config", "exactly one key"),
        (PLATFORM, "HK519", "litellm-config", "LANGFUSE_PUBLIC_KEY"),
        (PLATFORM, "HK520", "litellm-config", "OPENAI_API_KEY"),
        (PLATFORM, "HK520", "litellm-config", "ANTHROPIC_API_KEY"),
        (PLATFORM, "HK541", "litellm-config", "5/15"),
        (PLATFORM, "HK542", "litellm-config", "claude-3-5-sonnet-20241022"),
        (PLATFORM, "HK558", "litellm-gateway", "1.55.0"),
        (PLATFORM, "HK571", "milvus-cluster", "index nodes"),
        (PLATFORM, "HK572", "milvus-cluster", "CUDA"),
        (PLATFORM, "HK573", "milvus-cluster", "volumes"),
        (PLATFORM, "HK574", "milvus-cluster", "Pulsar"),
        (PLATFORM, "HK501", "document-ingestion", "3072"),
        (PLATFORM, "HK501", "", "3072"),
        (PLATFORM, "HK554", "document-ingestion", "stand-in"),
        (PLATFORM, "HK554", "batch-inference", "stand-in"),
        (PLATFORM, "HK554", "ragas-evaluation", "stand-in"),
        (PLATFORM, "HK519", "ragas-evaluation", "LANGFUSE_SECRET_KEY"),
        (PLATFORM, "HK564", "research-agent", "eval"),
        (PLATFORM, "HK575", "research-agent", "python"),
        (PLATFORM, "HK556", "langfuse", "ClickHouse"),
        (PLATFORM, "HK551", "langfuse", "latest"),
        (PLATFORM, "HK538", "dcgm-exporter", "twice"),
        (PLATFORM, "HK558", "dcgm-exporter", "3.3.5"),
        (PLATFORM, "HK565", "dcgm-exporter", "privileged"),
        (PLATFORM, "HK543", "vllm-llama3-70b", "two generations"),
        (CHALLENGES, "HK517", "litellm-config", "enable_fallbacks"),
        (CHALLENGES, "HK520", "litellm-config", "OPENAI_API_KEY"),
        (CHALLENGES, "HK542", "litellm-config", "gpt-4 "),
        (CHALLENGES, "HK551", "litellm-proxy", "main-latest"),
        (CHALLENGES, "HK553", "ragas-evaluation", "Python package"),
        (CHALLENGES, "HK556", "langfuse-web", "ClickHouse"),
        (CHALLENGES, "HK557", "llm-d-router", "ROUTING_STRATEGY"),
    ],
)
def test_a_fault_of_an_article_is_found(article: str, rule: str, about: str, words: str) -> None:
    told = [each for each in report(article).findings if each.rule.id == rule and each.object.endswith(about)]
    assert any(words in each.message for each in told), told


def test_nothing_else_of_consistency_is_said_of_them() -> None:
    told = {
        each.rule.id for name in (PLATFORM, CHALLENGES) for each in report(name).findings if each.rule.id[:3] == "HK5"
    }
    assert told == {
        "HK501", "HK514", "HK515", "HK517", "HK519", "HK520", "HK538", "HK540", "HK541", "HK542", "HK543", "HK551",
        "HK552", "HK553", "HK554", "HK556", "HK557", "HK558", "HK564", "HK565", "HK571",
        "HK572", "HK573", "HK574", "HK575",
    }  # fmt: skip


MENDED = (
    ("- model: llama3-70b\n          fallback_models:\n            - gpt-4o\n            - claude-3-5-sonnet",
     "- llama3-70b: [gpt-4o, claude-3-5-sonnet]", "HK515"),
    ("input_cost_per_token: 0.000005\n          output_cost_per_token: 0.000015",
     "input_cost_per_token: 0.0000025\n          output_cost_per_token: 0.00001", "HK541"),
    ("anthropic/claude-3-5-sonnet-20241022", "anthropic/claude-sonnet-5-5", "HK542"),
    ("http://vllm-llama3-70b.ai-inference:8000/v1", "https://inference.acme.dev/v1", "HK514"),
    ('success_callback: ["langfuse"]\n      failure_callback: ["langfuse"]', "drop_params: true", "HK519"),
    ("str(eval(expression))", "str(ast.literal_eval(expression))", "HK564"),
    ('value: "text-embedding-3-large"', 'value: "text-embedding-3-small"', "HK501"),
    ("indexNode:", "streamingNode:", "HK571"),
    ("langfuse/langfuse:latest", "langfuse/langfuse:2.95.1", "HK556"),
)  # fmt: skip


@pytest.mark.parametrize(("old", "new", "rule"), MENDED, ids=lambda value: value if len(value) == 5 else None)
def test_a_mended_article_is_told_one_thing_less(old: str, new: str, rule: str, tmp_path: Path) -> None:
    before = report(PLATFORM)
    text = (SEEDS / PLATFORM).read_text("utf-8")
    assert old in text
    article = tmp_path / "article.md"
    article.write_text(text.replace(old, new), "utf-8")
    after = preflight(Case(cluster=gather([article]).cluster, facts=facts()))
    counts = [sum(each.rule.id == rule for each in one.findings) for one in (before, after)]
    assert counts[1] == counts[0] - 1
