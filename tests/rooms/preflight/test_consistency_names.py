"""Names and sizes that two parts of a platform must agree on: vectors, models, gateways, ports."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanok.preflight import Case, gather, preflight
from tests.rooms.preflight.conftest import Look, facts, ids, only
from tests.rooms.preflight.consistency_samples import (
    config,
    engine,
    gateway,
    models,
    pod,
    route,
    service,
    together,
)

INGEST = "registry.acme.dev/ingest:1.0.0"


def found(look: Look, text: str, *wanted: str) -> list[str]:
    """The rules among these that were found, in order."""
    return [each for each in ids(look(text)) if each in wanted]


def line_with(text: str, words: str) -> int:
    return next(number for number, line in enumerate(text.split("\n"), 1) if words in line)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"EMBEDDING_MODEL": "text-embedding-3-small", "EMBEDDING_DIM": "3072"}, "1536, and EMBEDDING_DIM says 3072"),
        ({"RAG_EMBEDDING_MODEL_NAME": "BAAI/bge-m3", "VECTOR_SIZE": "768"}, "1024"),
        ({"EMBED_MODEL": "text-embedding-ada-002", "MILVUS_DIM": "1024"}, "1536"),
    ],
)
def test_a_model_and_a_size_in_one_container_must_agree(look: Look, env: dict[str, str], words: str) -> None:
    assert words in only(look(pod(INGEST, env=env)), "HK501").message


@pytest.mark.parametrize(
    "env",
    [
        {"EMBEDDING_MODEL": "text-embedding-3-large", "EMBEDDING_DIM": "3072"},
        {"EMBEDDING_MODEL": "text-embedding-3-large", "EMBEDDING_DIMENSIONS": "1024"},  # asked for shorter
        {"EMBEDDING_MODEL": "acme/own-model", "EMBEDDING_DIM": "123"},
        {"EMBEDDING_MODEL": "BAAI/bge-m3", "EMBEDDING_BATCH_SIZE": "64"},
        {"EMBEDDING_MODEL": "BAAI/bge-m3", "EMBEDDING_DIM": "auto"},
        {"EMBEDDING_MODEL": ""},
    ],
)
def test_sizes_that_agree_or_that_nobody_knows_are_clean(look: Look, env: dict[str, str]) -> None:
    assert found(look, pod(INGEST, env=env), "HK501") == []


def test_a_collection_in_a_config_map_is_compared_with_the_models_of_its_namespace(look: Look) -> None:
    schema = config('fields = [FieldSchema(name="v", dtype=DataType.FLOAT_VECTOR, dim=768)]', key="schema.py")
    text = together(pod(INGEST, env={"EMBEDDING_MODEL": "BAAI/bge-m3"}), schema)
    told = only(look(text), "HK501")
    assert "the collection takes 768 (" in told.message
    assert f"all.yaml:{line_with(text, 'dim=768')})" in told.message
    elsewhere = schema.replace("name: gateway", "name: gateway\n  namespace: other")
    assert found(look, together(pod(INGEST, env={"EMBEDDING_MODEL": "BAAI/bge-m3"}), elsewhere), "HK501") == []
    assert found(look, together(pod(INGEST, env={"EMBEDDING_MODEL": "nomic-embed-text-v1.5"}), schema), "HK501") == []


def test_numbers_that_are_no_vectors_are_left_alone(look: Look) -> None:
    other = config("model:\n  head_dim: 128\n  dim: 4096\n")
    assert found(look, together(pod(INGEST, env={"EMBEDDING_MODEL": "BAAI/bge-m3"}), other), "HK501") == []


ARTICLE = """
```python
fields = [FieldSchema(name="embedding", dtype=DataType.FLOAT_VECTOR, dim=1536)]
```

```python
{code}
```
"""


@pytest.mark.parametrize(
    ("code", "rules"),
    [
        ('OpenAIEmbeddings(model="text-embedding-3-large")', ["HK501"]),
        ('client.embeddings.create(model="text-embedding-3-large", input=text)', ["HK501"]),
        ('SentenceTransformer("BAAI/bge-m3")', ["HK501"]),
        ('OpenAIEmbeddings(model="text-embedding-3-large", dimensions=1536)', []),
        ('OpenAIEmbeddings(model="text-embedding-3-small")', []),
        ("OpenAIEmbeddings(model=settings.model)", []),
    ],
)
def test_the_code_of_an_article_is_compared_with_its_collection(tmp_path: Path, code: str, rules: list[str]) -> None:
    article = tmp_path / "article.md"
    article.write_text(ARTICLE.format(code=code))
    report = preflight(Case(cluster=gather([article]).cluster, facts=facts()))
    told = [each for each in report.findings if each.rule.id == "HK501"]
    assert [each.line for each in told] == [7] * len(rules)


def test_one_collection_and_two_models(look: Look) -> None:
    def uses(model: str, name: str, collection: str = "manuals") -> str:
        env = {"EMBEDDING_MODEL": model, "MILVUS_URI": "http://vectors:19530", "COLLECTION_NAME": collection}
        return pod(INGEST, name=name, env=env)

    same = together(uses("BAAI/bge-m3", "a"), uses("intfloat/multilingual-e5-large", "b"))
    assert only(look(same), "HK502").severity == "warning"
    apart = together(uses("BAAI/bge-m3", "a"), uses("text-embedding-3-small", "b"))
    assert only(look(apart), "HK502").severity == "error"
    others = together(uses("BAAI/bge-m3", "a"), uses("text-embedding-3-small", "b", "letters"))
    assert found(look, others, "HK502") == []


@pytest.mark.parametrize(
    ("args", "model"),
    [
        (["Qwen/Qwen3-8B"], "openai/Qwen/Qwen3-8B"),
        (["Qwen/Qwen3-8B", "--served-model-name", "small", "qwen3"], "hosted_vllm/qwen3"),
        (["--model=Qwen/Qwen3-8B", "--served-model-name=small"], "openai/small"),
        (["Qwen/Qwen3-8B", "--lora-modules", "tickets=/adapters/tickets"], "openai/tickets"),
        (["$(MODEL)"], "openai/whatever"),
        (["Qwen/Qwen3-8B", "--config", "/etc/vllm.yaml"], "openai/whatever"),
        (["Qwen/Qwen3-8B"], "openai/*"),
        (["Qwen/Qwen3-8B"], "bedrock/qwen3"),
    ],
)
def test_routes_to_what_an_engine_serves_or_may_serve_are_clean(look: Look, args: list[str], model: str) -> None:
    assert found(look, together(engine(*args), route(model)), "HK511") == []


@pytest.mark.parametrize(
    "base", ["http://qwen:8000/v1", "http://qwen.default:8000", "http://qwen.default.svc.cluster.local:8000/v1"]
)
def test_a_route_to_another_name_is_told_with_the_names_that_there_are(look: Look, base: str) -> None:
    text = together(engine("Qwen/Qwen3-8B", "--served-model-name", "small"), route("openai/big", base))
    told = only(look(text), "HK511")
    assert told.message == "chat asks for big, and Deployment default/qwen answers to small"
    assert told.object == "ConfigMap default/gateway"
    assert told.line == line_with(text, "openai/big")


@pytest.mark.parametrize(
    "base", ["http://elsewhere:8000", "https://qwen.acme.dev", "http://qwen.other:8000", "http://[", "os.environ/BASE"]
)
def test_addresses_that_lead_out_of_the_tree_are_not_judged(look: Look, base: str) -> None:
    assert found(look, together(engine("Qwen/Qwen3-8B"), route("openai/big", base)), "HK511") == []


def test_a_gateways_own_file_is_looked_at_without_a_config_map(look: Look) -> None:
    text = "model_list:\n  - model_name: a\n    litellm_params: {model: anthropic/claude-3-opus-20240229}\n"
    assert only(look(text), "HK542").line == 3


def test_limits_above_the_engines_are_told(look: Look) -> None:
    info = "    model_info: {max_tokens: 16384}\n"
    served = engine("Qwen/Qwen3-8B", "--max-model-len", "8192")
    assert "16384" in only(look(together(served, route("openai/Qwen/Qwen3-8B", more=info))), "HK512").message
    enough = engine("Qwen/Qwen3-8B", "--max-model-len", "16K")
    assert found(look, together(enough, route("openai/Qwen/Qwen3-8B", more=info)), "HK512") == []


POOL = """
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: pool}
spec:
  selector: {matchLabels: {app: %s}}
  targetPorts: [{number: 8000}]
"""


def test_a_route_past_a_pool_is_told_only_where_the_pool_has_those_pods(look: Look) -> None:
    served = together(engine("Qwen/Qwen3-8B"), route("openai/Qwen/Qwen3-8B"))
    assert found(look, together(served, POOL % "qwen"), "HK514") == ["HK514"]
    assert found(look, together(served, POOL % "llama"), "HK514") == []


def test_a_rewrite_must_name_what_the_pool_serves(look: Look) -> None:
    rewrite = """
apiVersion: llm-d.ai/v1alpha2
kind: InferenceModelRewrite
metadata: {name: split}
spec:
  poolRef: {name: pool}
  rules:
    - targets:
        - {modelRewrite: %s, weight: 1}
"""
    served = together(engine("Qwen/Qwen3-8B"), POOL % "qwen")
    assert found(look, together(served, rewrite % "Qwen/Qwen3-8B"), "HK511") == []
    assert found(look, together(served, rewrite % "qwen3"), "HK511") == ["HK511"]


@pytest.mark.parametrize(
    ("env", "rules"),
    [
        ({"OPENAI_BASE_URL": "http://gateway:4000/v1", "OPENAI_MODEL": "gpt"}, ["HK513"]),
        ({"LLM_BASE_URL": "http://gateway:4000", "MODEL": "chat"}, []),
        ({"MODEL": "whatever"}, []),
        ({"OPENAI_BASE_URL": "https://api.openai.com/v1", "MODEL": "gpt-6-sol"}, []),
        ({"OPENAI_BASE_URL": "http://gateway:4000", "LLM_URL": "https://other.dev", "MODEL": "x"}, []),
        ({"OPENAI_BASE_URL": "http://gateway:4000", "EMBEDDING_MODEL": "x"}, []),
    ],
)
def test_callers_ask_for_names_that_the_gateway_has(look: Look, env: dict[str, str], rules: list[str]) -> None:
    text = together(gateway(), models("chat", "small"), pod("registry.acme.dev/agent:1.0.0", env=env))
    assert found(look, text, "HK513", "HK511") == rules


def test_a_gateway_whose_models_are_in_a_database_may_have_any(look: Look) -> None:
    caller = pod("registry.acme.dev/agent:1.0.0", env={"OPENAI_BASE_URL": "http://gateway:4000", "MODEL": "x"})
    stored = models("chat", more="general_settings: {store_model_in_db: true}\n")
    assert found(look, together(gateway(), stored, caller), "HK513") == []
    by_variable = together(gateway({"STORE_MODEL_IN_DB": "True"}), models("chat"), caller)
    assert found(look, by_variable, "HK513") == []
    assert found(look, together(gateway(), models("*"), caller), "HK513") == []


def test_agents_ask_for_names_that_the_gateway_has(look: Look) -> None:
    agent = """
apiVersion: kagent.dev/v1alpha2
kind: ModelConfig
metadata: {name: chat}
spec: {provider: OpenAI, model: chatt, openAI: {baseUrl: "http://gateway:4000/v1"}}
"""
    assert "the nearest is chat" in only(look(together(gateway(), models("chat"), agent)), "HK513").message


@pytest.mark.parametrize(
    ("settings", "rules"),
    [
        ("litellm_settings: {fallbacks: [{model: chat, fallback_models: [spare]}]}", ["HK515"]),
        ("router_settings: {fallbacks: [{chat: spare}]}", ["HK515"]),
        ("router_settings: {content_policy_fallbacks: [chat]}", ["HK515"]),
        ("litellm_settings: {fallbacks: [{chat: [spare]}]}", []),
        ('litellm_settings: {fallbacks: [{"*": [spare]}]}', []),
        ("litellm_settings: {fallbacks: [{chat: [{model: spare}]}]}", []),
        ("litellm_settings: {fallbacks: [{chat: [gone]}]}", ["HK516"]),
        ("litellm_settings: {context_window_fallbacks: [{gone: [chat]}]}", ["HK516"]),
        ("litellm_settings: {default_fallbacks: [gone]}", ["HK516"]),
        ("litellm_settings: {fallbacks: [{chat: [openai/gpt-6-sol]}]}", []),
        ("router_settings: {enable_fallbacks: true}", ["HK517"]),
        ("router_settings: {num_retires: 2}", ["HK517"]),
        ("router_settings: {num_retries: 2, model_group_alias: {a: chat}, fallbacks: [{a: [spare]}]}", []),
        ("router_settings: {routing_strategy: round-robin}", ["HK518"]),
        ("router_settings: {routing_strategy: simple-shuffle}", []),
        ("router_settings: {routing_strategy: os.environ/STRATEGY}", []),
        ("router_settings: []", []),
    ],
)
def test_a_gateways_settings(look: Look, settings: str, rules: list[str]) -> None:
    text = models("chat", "spare", more=settings + "\n")
    assert found(look, text, "HK515", "HK516", "HK517", "HK518") == rules


def keyed(name: str, more: str = "") -> str:
    listed = f"  - model_name: x\n    litellm_params: {{model: openai/gpt-6-sol, api_key: os.environ/{name}}}\n"
    return config("model_list:\n" + listed + more)


def test_variables_that_the_container_is_not_given_are_told_once_each(look: Look) -> None:
    text = together(gateway(), keyed("OPENAI_API_KEY"))
    assert only(look(text), "HK520").line == line_with(text, "os.environ/OPENAI_API_KEY")
    assert found(look, together(gateway({"OPENAI_API_KEY": "$(OTHER)"}), keyed("OPENAI_API_KEY")), "HK520") == []
    set_there = keyed("OPENAI_API_KEY", "environment_variables: {OPENAI_API_KEY: os.environ/OPENAI_API_KEY}\n")
    assert found(look, together(gateway(), set_there), "HK520") == []
    assert found(look, keyed("OPENAI_API_KEY"), "HK520") == []  # nobody knows who reads it
    assert found(look, together(gateway(), keyed("AWS_REGION")), "HK520") == []  # comes with a role


@pytest.mark.parametrize(("present", "rules"), [("", []), ("OPENAI_API_KEY", []), ("OTHER", ["HK520"])])
def test_a_secret_taken_whole_may_hold_what_is_missing(look: Look, present: str, rules: list[str]) -> None:
    whole = gateway().replace("env: []", "envFrom: [{secretRef: {name: keys}}]")
    secret = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: keys}}\nstringData: {{{present}: replace-me}}\n"
    text = together(whole, keyed("OPENAI_API_KEY"), *([secret] if present else []))
    assert found(look, text, "HK520") == rules


def test_langfuse_is_sent_nothing_without_both_keys(look: Look) -> None:
    sends = models("chat", more="litellm_settings: {success_callback: [langfuse], failure_callback: [langfuse]}\n")
    assert "LANGFUSE_SECRET_KEY" in only(look(together(gateway({"LANGFUSE_PUBLIC_KEY": "a"}), sends)), "HK519").message
    both = {"LANGFUSE_PUBLIC_KEY": "a", "LANGFUSE_SECRET_KEY": "$(B)"}
    assert found(look, together(gateway(both), sends), "HK519") == []
    told = only(look(pod("registry.acme.dev/a:1", env={"LANGFUSE_HOST": "http://langfuse:3000"})), "HK519")
    assert told.severity == "warning"


PROBE = "\nreadinessProbe: {httpGet: {path: %s, port: %s}}\n"


@pytest.mark.parametrize(
    ("args", "path", "port", "rules"),
    [
        (["Qwen/Qwen3-8B"], "/health", "8000", []),
        (["Qwen/Qwen3-8B"], "/v1/models", "8000", []),
        (["Qwen/Qwen3-8B"], "/own/path", "8000", []),
        (["Qwen/Qwen3-8B"], "/healthz", "8000", ["HK525"]),
        (["Qwen/Qwen3-8B"], "/health/ready", "8000", ["HK525"]),
        (["Qwen/Qwen3-8B", "--root-path", "/vllm"], "/healthz", "8000", []),
        (["Qwen/Qwen3-8B"], "/health", "8080", ["HK526"]),
        (["Qwen/Qwen3-8B", "--port", "8080"], "/health", "8080", ["HK526"]),  # the Service, which leads to 8000
        (["Qwen/Qwen3-8B", "--port", "$(PORT)"], "/health", "8080", []),
        (["Qwen/Qwen3-8B"], "/health", "unknown-name", []),
    ],
)
def test_probes_ask_where_an_engine_answers(
    look: Look, args: list[str], path: str, port: str, rules: list[str]
) -> None:
    assert found(look, engine(*args, more=PROBE % (path, port)), "HK525", "HK526") == rules


def test_another_container_of_the_pod_may_listen_on_another_port(look: Look) -> None:
    sidecar = "\n        - {name: proxy, image: 'envoyproxy/envoy:v1.36.2'}"
    text = engine("Qwen/Qwen3-8B", more=PROBE % ("/health", "9000")).replace("\n---", sidecar + "\n---", 1)
    assert found(look, text, "HK526") == []


def test_services_of_other_protocols_are_left_alone(look: Look) -> None:
    other = service("qwen", 5557).replace("{port: 5557}", "{name: kv-events, port: 5557}")
    assert found(look, together(engine("Qwen/Qwen3-8B"), other), "HK526") == []
    assert found(look, together(engine("Qwen/Qwen3-8B"), service("qwen", 9000)), "HK526") == ["HK526"]
