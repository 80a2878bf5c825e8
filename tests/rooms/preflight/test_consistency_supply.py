"""What a platform is made of: images, prices and models of APIs, secrets, code, releases of components."""

from __future__ import annotations

import datetime

import pytest

from hanok.preflight.consistency.load import load_apis, load_figures
from tests.rooms.preflight.conftest import Look, ids, only
from tests.rooms.preflight.consistency_samples import config, engine, models, pod, together

SECRETS = {"HK561", "HK562", "HK563", "HK564"}


def found(look: Look, text: str, *wanted: str) -> list[str]:
    return [each for each in ids(look(text)) if each in wanted]


IMAGES = [f"HK55{digit}" for digit in range(1, 6)]


@pytest.mark.parametrize(
    ("image", "rules"),
    [
        ("nginx:1.29.3@sha256:" + "0" * 64, []),
        ("nginx@sha256:" + "0" * 64, []),
        ("nginx:1.29.3", ["HK552"]),
        ("localhost:5000/team/app:1", ["HK552"]),
        ("nginx", ["HK551"]),
        ("localhost:5000/team/app", ["HK551"]),
        ("ghcr.io/berriai/litellm:main-latest", ["HK551"]),
        ("ragas/ragas:1", ["HK553"]),
        ("registry.acme.dev/ragas/ragas:1", ["HK552"]),
        ("ghcr.io/llm-d/llm-d-cuda:v0.9.0", ["HK552"]),
        ("your-registry/app:1", ["HK554"]),
        ("yourorg/app:1", ["HK554"]),
        ("registry.example.com/app:1", ["HK554"]),
        ("<account>.dkr.ecr.us-east-1.amazonaws.com/app:1", ["HK554"]),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1", ["HK554"]),
        ("987654321098.dkr.ecr.us-east-1.amazonaws.com/app:1", ["HK552"]),
        ("examples.acme.dev/app:1", ["HK552"]),
        ("mycompany.io/app:1", ["HK552"]),
        ("${REGISTRY}/app:${TAG}", []),
        ("bitnami/redis:7.4.1", ["HK552", "HK555"]),
        ("docker.io/bitnami/redis:7.4.1", ["HK552", "HK555"]),
        ("bitnamilegacy/redis:7.4.1", ["HK552"]),
        ("registry.acme.dev/bitnami/redis:7.4.1", ["HK552"]),
    ],
)
def test_images_by_their_names(look: Look, image: str, rules: list[str]) -> None:
    assert sorted(found(look, pod(f"'{image}'"), *IMAGES)) == rules


def test_an_image_that_is_accepted_in_one_place_is_told_in_others(look: Look) -> None:
    accepted = f"# hanok: ignore HK551 a trial\n{pod('nginx:latest')}"
    assert found(look, together(accepted, pod("nginx:latest", name="b")), *IMAGES) == ["HK551"]
    assert found(look, together(pod("nginx:latest"), accepted), *IMAGES) == ["HK551"]


STORES = {"CLICKHOUSE_URL": "http://c:8123", "REDIS_HOST": "r", "LANGFUSE_S3_EVENT_UPLOAD_BUCKET": "b"}


@pytest.mark.parametrize(
    ("image", "env", "severity"),
    [
        ("langfuse/langfuse:4.16.0", {}, "error"),
        ("langfuse/langfuse:3", {"REDIS_HOST": "r"}, "error"),
        ("langfuse/langfuse:latest", {}, "error"),
        ("langfuse/langfuse:4.16.0", STORES, "warning"),
        ("langfuse/langfuse:2.95.1", {}, None),
        ("registry.acme.dev/langfuse-proxy:1", {}, None),
    ],
)
def test_langfuse_has_its_stores_and_its_worker(
    look: Look, image: str, env: dict[str, str], severity: str | None
) -> None:
    told = [each.severity for each in look(pod(image, env=env)).findings if each.rule.id == "HK556"]
    assert told == ([severity] if severity else [])


def test_langfuse_whose_environment_nobody_knows_is_not_judged(look: Look) -> None:
    whole = pod("langfuse/langfuse:4.16.0", more="\nenvFrom: [{secretRef: {name: langfuse}}]\n").replace("env: []", "")
    assert found(look, whole, "HK556") == []
    worker = pod("langfuse/langfuse-worker:4.16.0", name="worker", env=STORES)
    assert found(look, together(pod("langfuse/langfuse:4.16.0", env=STORES), worker), "HK556") == []


def test_variables_of_a_router_that_never_was(look: Look) -> None:
    both = {"BACKENDS": "a:8000", "ROUTING_STRATEGY": "prefix-aware"}
    assert found(look, pod("ghcr.io/llm-d/llm-d:v0.2.0", env=both), "HK557") == ["HK557"]
    assert found(look, pod("ghcr.io/llm-d/llm-d:v0.2.0"), "HK557") == []
    assert found(look, pod("registry.acme.dev/router:1.0.0", env=both), "HK557") == []


def priced(model: str, *, price: tuple[str, str], base: str = "", place: str = "model_info") -> str:
    text = f"model_list:\n  - model_name: a\n    litellm_params:\n      model: {model}\n"
    text += f"      api_base: {base}\n" if base else ""
    text += "    model_info:\n" if place == "model_info" else ""
    return config(text + f"      input_cost_per_token: {price[0]}\n      output_cost_per_token: {price[1]}\n")


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (priced("gpt-4o", price=("0.000005", "0.000015")), ["HK541"]),
        (priced("openai/gpt-4o", price=("2.5e-06", "0.000015"), place="litellm_params"), ["HK541"]),
        (priced("openai/gpt-4o", price=("0.0000025", "0.00001")), []),
        (priced("openai/gpt-4o", price=("0.0000025", "free")), []),
        (priced("openai/gpt-4o", price=("1e-9", "1e-9"), base="http://cheap.acme.dev/v1"), []),
        (priced("openai/gpt-4o", price=("1e-9", "1e-9"), base="https://api.openai.com/v1"), ["HK541"]),
        (priced("azure/gpt-4o", price=("1e-9", "1e-9")), []),
        (priced("openai/own", price=("1e-9", "1e-9")), []),
    ],
)
def test_prices_are_the_providers(look: Look, text: str, rules: list[str]) -> None:
    assert found(look, text, "HK541") == rules


def test_a_wrong_price_is_told_with_both_figures(look: Look) -> None:
    told = only(look(priced("gpt-4o", price=("0.000005", "0.000015"))), "HK541")
    assert "5/15 USD a million tokens (input/output), and costs 2.5/10" in told.message
    assert "2026-11-20" in told.message


@pytest.mark.parametrize(
    ("today", "severity"), [("2026-09-11", None), ("2026-09-12", "warning"), ("2026-12-11", "error")]
)
def test_a_models_last_day_comes_nearer(look: Look, today: str, severity: str | None) -> None:
    text = config("model_list:\n  - model_name: a\n    litellm_params: {model: openai/gpt-5}\n")
    report = look(text, today=datetime.date.fromisoformat(today))
    told = [each.severity for each in report.findings if each.rule.id == "HK542"]
    assert told == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("model", "rules"),
    [
        ("anthropic/claude-3-5-sonnet-20241022", ["HK542"]),
        ("claude-3-opus-20240229", ["HK542"]),
        ("gemini/gemini-1.5-pro", ["HK542"]),
        ("text-davinci-003", ["HK542"]),
        ("bedrock/anthropic.claude-3-5-sonnet-20241022-v2:0", []),
        ("vertex_ai/claude-3-5-sonnet-20241022", []),
        ("anthropic/claude-sonnet-5-5", []),
        ("openai/gpt-4o", []),
    ],
)
def test_models_that_their_own_provider_has_retired(look: Look, model: str, rules: list[str]) -> None:
    text = config(f"model_list:\n  - model_name: a\n    litellm_params:\n      model: {model}\n")
    assert found(look, text, "HK542") == rules


def test_open_models_of_generations_ago(look: Look) -> None:
    assert found(look, engine("meta-llama/Meta-Llama-3-70B-Instruct"), "HK543") == ["HK543"]
    assert found(look, engine("meta-llama/Llama-3.3-70B-Instruct"), "HK543") == []


def test_the_tables_are_whole() -> None:
    apis = load_apis()
    assert all(datetime.date.fromisoformat(day) for table in apis["retired"].values() for day in table.values())
    assert set(apis["retired"]) == set(apis["successors"])
    prices = [price for table in apis["prices"].values() for price in table.values()]
    assert all((len(price) == 2 and 0 <= price[0] <= price[1]) or price[1] == 0 for price in prices)
    for provider, pairs in apis["successors"].items():
        for _, successor in pairs:
            assert successor not in apis["retired"][provider]
    assert all(16 <= each["size"] <= 8192 for each in load_figures()["embeddings"].values())


@pytest.mark.parametrize(
    ("name", "value", "rules"),
    [
        ("DB_PASSWORD", "kP9vq2Lw7x", ["HK561"]),
        ("DB_PASSWORD", "postgres", ["HK563"]),
        ("DB_PASSWORD", "changeme", []),
        ("DB_PASSWORD", "$(FROM_SECRET)", []),
        ("OPENAI_API_KEY", "sk-proj-" + "aB3" * 10, ["HK561"]),
        ("ANYTHING", "hf_" + "aB3" * 11, ["HK561"]),
        ("OPENAI_API_KEY", "sk-xxxxxxxxxxxxxxxxxxxxxxxx", []),
        ("OPENAI_API_KEY", "EMPTY", []),
        ("OPENAI_API_KEY", "not-needed", []),
        ("OPENAI_API_KEY", "your-api-key-here", []),
        ("OPENAI_API_KEY", "sk-1234", ["HK563"]),
        ("TLS_SECRET", "web-tls", []),
        ("PULL_SECRET", "regcred", []),
        ("SECRET_KEY", "/run/secrets/key", []),
        ("MAX_TOKENS", "1234567890", []),
        ("TOKENIZER", "Qwen/Qwen3-8B", []),
        ("DATABASE_URL", "postgresql://app:kP9vq2Lw@db:5432/app", ["HK561"]),
        ("DATABASE_URL", "postgresql://app:$(PASSWORD)@db:5432/app", []),
        ("DATABASE_URL", "postgresql://app:<password>@db:5432/app", []),
        ("PROXY", "http://proxy:3128", []),
    ],
)
def test_secrets_in_variables(look: Look, name: str, value: str, rules: list[str]) -> None:
    report = look(pod("registry.acme.dev/a:1", env={name: value}))
    told = [each for each in report.findings if each.rule.id in SECRETS]
    assert [each.rule.id for each in told] == rules
    assert not any(value in f"{each.message} {each.hint}" for each in told)


@pytest.mark.parametrize(
    ("args", "rules"),
    [
        ("[--api-key, kP9vq2Lw7x]", ["HK561"]),
        ("[--api-key=kP9vq2Lw7x]", ["HK561"]),
        ("[--api-key, $(KEY)]", []),
        ("[--ssl-keyfile, /certs/tls.key]", []),
        ("[--max-model-len, '8192']", []),
        ("[serve, --password]", []),
    ],
)
def test_secrets_in_arguments(look: Look, args: str, rules: list[str]) -> None:
    assert found(look, pod("registry.acme.dev/a:1", more=f"\nargs: {args}\n"), *SECRETS) == rules


def test_secrets_in_a_file_are_told_with_their_line(look: Look) -> None:
    text = config("a: 1\ncache: redis://:kP9vq2Lw@redis:6379\nkey: sk-ant-" + "aB3" * 10 + "\n")
    told = [each for each in look(text).findings if each.rule.id == "HK561"]
    assert [each.line for each in told] == [8, 9]
    assert not any("kP9" in each.message or "aB3" in each.message for each in told)


@pytest.mark.parametrize(
    ("key", "rules"),
    [("os.environ/MASTER", []), ("sk-1234", ["HK563"]), ("kP9vq2Lw7x", ["HK561"]), ("dummy", []), ("EMPTY", [])],
)
def test_keys_of_a_gateway(look: Look, key: str, rules: list[str]) -> None:
    text = models("a", more=f"general_settings:\n  master_key: {key}\n")
    assert found(look, text, *SECRETS) == rules


SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"


@pytest.mark.parametrize(
    ("body", "rules"),
    [
        ("stringData: {password: kP9vq2Lw7x-Zt4}", ["HK562"]),
        ("data: {password: a1A5dnEyTHc3eC1adDQ=}", ["HK562"]),
        ("stringData: {password: change-me}", []),
        ("stringData: {password: '<path:secret/data/app#password>'}", []),
        ("stringData: {password: '${DB_PASSWORD}'}", []),
        ("stringData: {password: 'ENC[AES256_GCM,data:kP9vq2Lw7x,type:str]'}", []),
        ("stringData: {password: kP9vq2Lw7x-Zt4}\nsops: {version: 3.9.0}", []),
        ("stringData: {username: administrator}", []),
        ("data: {password: '%%%'}", []),
        ("data: {}", []),
    ],
)
def test_secrets_with_their_value_in_the_tree(look: Look, body: str, rules: list[str]) -> None:
    assert found(look, SECRET + body + "\n", *SECRETS) == rules


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("eval(text)", ["HK564"]),
        ("exec(code)", ["HK564"]),
        ("os.system(command)", ["HK564"]),
        ("subprocess.run(command, shell=True)", ["HK564"]),
        ("ast.literal_eval(text)", []),
        ("model.eval()", []),
        ("frame.eval(text)", []),
        ("os.system('nvidia-smi')", []),
        ("subprocess.run(command)", []),
        ("retrieval(text)", []),
    ],
)
def test_code_that_runs_text(look: Look, line: str, rules: list[str]) -> None:
    text = config(f"import os\n\ndef run(text):\n    return {line}\n", key="tool.py")
    assert found(look, text, *SECRETS) == rules
    assert (
        found(look, text.replace("import os", "# notes").replace("def run(text):", "-").replace(".py", ""), *SECRETS)
        == []
    )


def test_tools_of_a_platform_file_run_in_a_sandbox(look: Look) -> None:
    text = """\
models: [{name: a, serve: {engine: echo}}]
tools:
  - name: calculator
    type: python
    code: |
      def calculator(expression: str) -> float:
          return eval(expression)
"""
    assert found(look, config(text, key="platform.yaml"), *SECRETS) == []
    assert found(look, config(text.replace("models:", "kind: Odd\nmodels:"), key="platform.yaml"), *SECRETS) == [
        "HK564"
    ]


def test_in_an_agents_tool_it_is_an_error(look: Look) -> None:
    agent = """
apiVersion: kagent.dev/v1alpha1
kind: Agent
metadata: {name: a}
spec:
  tools:
    - name: calculator
      type: python
      code: |
        def calculate(text: str) -> str:
            return str(eval(text))
"""
    told = only(look(agent), "HK564")
    assert (told.severity, told.line) == ("error", 11)


def test_privileged_containers_are_told_once_a_pod(look: Look) -> None:
    more = "\nsecurityContext: {privileged: true}\n"
    assert found(look, pod("registry.acme.dev/a:1", more=more), "HK565") == ["HK565"]
    assert found(look, pod("registry.acme.dev/a:1", more=more.replace("true", "false")), "HK565") == []


MILVUS = "apiVersion: milvus.io/v1beta1\nkind: Milvus\nmetadata: {name: m}\nspec:\n"
INDEX = "indexNode: {replicas: 1}"
GPU = "dataNode: {resources: {limits: {nvidia.com/gpu: 1}}}"
RELEASES = ("HK571", "HK572", "HK573", "HK574")


@pytest.mark.parametrize(
    ("spec", "rules"),
    [
        (f"components: {{{INDEX}}}", ["HK571"]),
        (f"components: {{image: 'milvusdb/milvus:v2.6.1', {INDEX}}}", ["HK571"]),
        (f"components: {{image: 'milvusdb/milvus:v2.5.9', {INDEX}}}", []),
        (f"components: {{{GPU}}}", ["HK572"]),
        (f"components: {{image: 'milvusdb/milvus:v2.6.1', {GPU}}}", ["HK572"]),
        (f"components: {{image: 'milvusdb/milvus:v2.6.1-gpu', {GPU}}}", []),
        (f"components: {{image: 'registry.acme.dev/vectors:1', {GPU}}}", []),
        ("dependencies: {pulsar: {inCluster: {}}}", ["HK574"]),
        ("dependencies: {pulsar: {external: true}}", []),
        ("dependencies: {storage: {inCluster: {}}}", []),  # nothing says that this is AWS
        ("components: [1]", []),
    ],
)
def test_milvus(look: Look, spec: str, rules: list[str]) -> None:
    assert found(look, MILVUS + f"  {spec}\n", *RELEASES) == rules


def test_secrets_that_a_chart_makes_up_anew(look: Look) -> None:
    named = "{secretKeyRef: {name: kept, key: k}}"
    values = "langfuse: {salt: %s, encryptionKey: %s, nextauth: {secret: %s}}"
    argo = (
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: l}\n"
        "spec:\n  source: {chart: langfuse, helm: {valuesObject: {%s}}}\n"
    )
    flux = (
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: l}\n"
        "spec:\n  chartRef: {kind: OCIRepository, name: langfuse}\n  values: {%s}\n"
    )
    told = only(look(argo % (values % (named, "{}", "{value: x}"))), "HK577")
    assert (told.severity, told.message.split(":")[0]) == ("warning", "encryptionKey")
    assert only(look(flux % "postgresql: {deploy: true}"), "HK577").severity == "info"
    assert found(look, argo % (values % (named, named, named)), "HK577") == []


def test_images_of_nodes(look: Look) -> None:
    text = (
        "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata: {name: n}\nspec:\n  amiSelectorTerms: [%s]\n"
    )
    assert found(look, text % "{alias: al2023@latest}", "HK576") == ["HK576"]
    assert found(look, text % "{alias: al2023@v20260801}", "HK576") == []
    assert found(look, text % "{name: al2023}", "HK576") == []


@pytest.mark.parametrize(
    ("spec", "rules"),
    [
        ("target: {template: {data: {a: b}}}, data: []", ["HK578"]),
        ("data: [{secretKey: a, remoteRef: {key: a}}]", []),
        ("dataFrom: [%s]", ["HK579"]),
        ("refreshInterval: 1h, dataFrom: [%s]", ["HK579"]),
        ("refreshPolicy: CreatedOnce, dataFrom: [%s]", []),
        ("refreshInterval: 0s, dataFrom: [%s]", []),
        ("dataFrom: [{sourceRef: {generatorRef: {kind: ECRAuthorizationToken, name: a}}}]", []),
    ],
)
def test_what_external_secrets_asks_for(look: Look, spec: str, rules: list[str]) -> None:
    made = "{sourceRef: {generatorRef: {kind: Password, name: a}}}"
    head = "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: a}\n"
    assert found(look, head + "spec: {" + spec.replace("%s", made) + "}\n", "HK578", "HK579") == rules
