"""Manifests that somebody broke: whatever stands in them, nothing breaks off, and Hanok takes what comes of them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanok.migration import NothingToCarryOver
from tests.rooms.migration.clusters import imported, vllm
from tests.rooms.migration.test_manifests import CONFIG, SCALED, STACK
from tests.rooms.migration.test_manifests_agents import AGENTS, INGESTION, OLD_AGENT

MILVUS = """\
---
apiVersion: milvus.io/v1beta1
kind: Milvus
metadata: {name: vectors, namespace: ai}
spec: {mode: standalone}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: langfuse, namespace: ai}
spec: {template: {metadata: {labels: {app: l}}, spec: {containers: [{name: l, image: "langfuse/langfuse:2"}]}}}
---
apiVersion: kagent.dev/v1alpha1
kind: Agent
metadata: {name: sketch, namespace: ai}
spec:
  llm: {provider: litellm, model: cloud, endpoint: "http://one.ai/v1", temperature: 0.7, maxTokens: 100}
  systemPrompt: You are drawn.
  tools:
    - {name: search, type: http, spec: {url: "http://search.ai/s", method: POST, headers: {X-Api-Token: abc}}}
    - {name: docs, type: milvus, spec: {collection: docs, topK: 3}}
    - {name: sums, type: python, spec: {code: "def f(a: str) -> str:\\n    return a\\n"}}
  memory: {type: redis, config: {ttl: 60}}
  autoscaling: {enabled: true, minReplicas: 1, maxReplicas: 3}
"""
OWN = """\
---
apiVersion: v1
kind: ConfigMap
metadata: {name: hanok-config, namespace: hanok}
data:
  platform.yaml: |
    name: house
    models:
      - {name: mine, serve: {engine: openai, url: "http://one.ai/v1", key: "${env:MINE}"}}
    ledger: {database: "${env:BOOKS}"}
---
"""
ENGINE = vllm("one", args=["--model", "Qwen/Qwen3-8B", "--max-model-len", "8192", "--served-model-name", "a", "b"])
ALL = ENGINE + CONFIG + SCALED + "---\n" + AGENTS + INGESTION + MILVUS + OWN + STACK + "---\n" + OLD_AGENT
DOCUMENTS: list[Any] = [each for each in yaml.safe_load_all(ALL) if each]
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 10**12), st.floats(allow_nan=False), st.text(max_size=12),
    st.sampled_from(["${env:HOME}", "${env:", "http://[", "a b", "x" * 99, "{{ .Values.a }}", "ai/ai", "\u0085"]),
    st.lists(st.integers() | st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)  # fmt: skip


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way] + [place for key, each in inner for place in places(each, (*way, key))]


PLACES = places(DOCUMENTS)[1:]


def put(documents: Any, place: tuple[Any, ...], odd: Any, *, drop: bool) -> None:
    """Something else at a place, or nothing; places that an earlier change took away are passed over."""
    with contextlib.suppress(KeyError, IndexError, TypeError):
        for step in place[:-1]:
            documents = documents[step]
        if drop:
            del documents[place[-1]]
        else:
            documents[place[-1]]  # it must be there
            documents[place[-1]] = odd


CHANGE = st.tuples(st.sampled_from(PLACES), ODD, st.booleans())


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(CHANGE, min_size=1, max_size=8), twice=st.booleans())
def test_whatever_stands_in_manifests_hanok_takes_what_comes_of_them(
    tmp_path: Path, changes: list[Any], twice: bool
) -> None:
    documents = json.loads(json.dumps(DOCUMENTS))
    for place, odd, drop in changes:
        put(documents, place, odd, drop=drop)
    with contextlib.suppress(NothingToCarryOver):
        text = yaml.dump_all(documents + documents[:3] if twice else documents, Dumper=DUMPER)
        imported(tmp_path, text, judged=False)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10_000), word=st.sampled_from(["\t", "{{", "'", "&a ", "*a", ": ", "\n---\n", "]", "!!x "]))
def test_however_a_file_is_broken_nothing_breaks_off(tmp_path: Path, at: int, word: str) -> None:
    text = ENGINE + "---\n" + AGENTS + INGESTION
    at %= len(text)
    with contextlib.suppress(NothingToCarryOver):
        imported(tmp_path, text[:at] + word + text[at:], judged=False)


def test_an_article_whose_code_is_no_python_is_read_all_the_same(tmp_path: Path) -> None:
    code = "```python\ndef broken(:\n```\n```python\nx = Collection(name='a', n=" + "(" * 300 + ")" * 300 + ")\n```\n"
    made = imported(tmp_path, f"# A\n\n{code}\n```yaml\n{ENGINE}```\n", "article.md")
    assert made.platform["models"][0]["name"] == "a"


@pytest.mark.parametrize("count", [60])
def test_many_engines_are_read_in_a_moment(tmp_path: Path, count: int) -> None:
    text = "".join(vllm(f"e{each}", args=["--model", f"Qwen/Q{each}"]) for each in range(count))
    assert len(imported(tmp_path, text, judged=False).platform["models"]) == count
