"""`hanok import litellm`, run as a user runs it, and the platform that comes of it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from hanok.assemble import plan
from hanok.migration import NothingToCarryOver, render, translate
from hanok.spec import Loaded
from hanok.spec.load import parse
from tests.calls import call
from tests.conftest import open_house
from tests.journeys.test_hanok_up import hanok
from tests.rooms.migration.configurations import BROKEN, COMPANY, LAPTOP, SHARED

SEED = Path(__file__).parents[4] / "shared" / "seeds" / "agentic-ai-platform.md"
WITHOUT_KEYS = {name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_URL", "_HOST"))}


def made(text: str) -> Loaded:
    """The platform that comes of a configuration, with stand-ins for its variables."""
    translation = translate(text, Path("config.yaml"))
    stand_ins = {each.name: each.stand_in for each in translation.variables}
    return parse(render(translation, source="config.yaml"), Path("platform.yaml"), stand_ins)


def told(text: str, kind: str) -> dict[str, str]:
    """The messages of one kind by `line path`."""
    notes = translate(text, Path("config.yaml")).notes
    return {f"{note.line} {note.path}": note.message for note in notes if note.kind == kind}


def line_of(text: str, beginning: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.strip().startswith(beginning))


def one(**params: Any) -> str:
    return yaml.safe_dump({"model_list": [{"model_name": "m", "litellm_params": params}]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(COMPANY)
    return tmp_path


def test_a_companys_proxy_becomes_a_platform_that_hanok_takes(folder: Path) -> None:
    done = hanok(folder, "import", "litellm", "config.yaml", env=WITHOUT_KEYS)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "Wrote platform.yaml" in done.stderr
    line = line_of(COMPANY, "routing_strategy")
    assert f"config.yaml:{line} router_settings.routing_strategy" in done.stderr
    written = yaml.safe_load((folder / "platform.yaml").read_text())
    models = {model["name"]: model for model in written["models"]}
    assert list(models) == ["gpt-4o", "llama", "llama.order-2", "claude", "embed", "gpt-4", "hidden-llama"]
    assert models["gpt-4o"]["serve"] == [
        {
            "engine": "litellm",
            "model": "azure/gpt-4o-eu",
            "key": "${env:AZURE_API_KEY_EU}",
            "url": "https://eu.openai.azure.com/",
            "options": {"api_version": "2024-10-21", "drop_params": True},
        },
        {
            "engine": "openai",
            "url": "https://api.openai.com/v1",
            "model": "gpt-4o",
            "key": "${env:OPENAI_API_KEY}",
            "max_in_flight": 20,
        },
    ]
    assert models["gpt-4o"]["price"] == {"input": 3, "output": 10, "cached_input": 1.25}
    assert models["gpt-4o"]["timeouts"] == {"first_byte_s": 120, "idle_s": 30}
    assert models["gpt-4o"]["retries"] == 3
    assert models["gpt-4o"]["breaker"] == {"failures": 3, "cooldown_s": 30}
    assert models["gpt-4o"]["fallbacks"] == {"error": ["claude", "llama"], "content_policy": ["claude"]}
    assert models["llama"]["fallbacks"] == {"error": ["llama.order-2"], "context_window": ["claude"]}
    assert models["llama.order-2"]["serve"]["url"] == "http://laptop.internal:11434/v1"
    assert models["claude"]["serve"]["options"]["aws_secret_access_key"] == "${env:AWS_SECRET_ACCESS_KEY}"
    assert models["embed"]["type"] == "embedding"
    assert models["gpt-4"]["serve"] == models["gpt-4o"]["serve"]
    assert {name for name, model in models.items() if model.get("routing") == {"policy": "latency"}} == {
        "gpt-4o", "gpt-4", "llama", "hidden-llama",
    }  # fmt: skip
    assert written["cache"] == {"all_models": True, "store": "redis", "ttl_s": 600}
    assert written["ledger"] == {
        "database": "${env:DATABASE_URL}",
        "redis": "redis://:${env:REDIS_PASSWORD}@${env:REDIS_HOST}:6379",
    }
    assert written["gateway"] == {"admin_key": "${env:LITELLM_MASTER_KEY}", "body_limit_mib": 16}
    assert [export["to"] for export in written["telemetry"]["export"]] == ["otlp", "langfuse"]
    assert {"of": "key", "usd": 100, "per": "day"} in written["budgets"]
    assert {"of": "user", "usd": 20, "per": "month"} in written["budgets"]
    assert {"of": "key", "concurrent": 40} in written["limits"]
    gpt = {"of": "model", "name": "gpt-4o", "requests_per_minute": 1000, "tokens_per_minute": 150_000}
    assert gpt in written["limits"]


def test_what_was_not_carried_over_is_told_with_its_line_and_a_reason() -> None:
    left = told(COMPANY, "left")
    for path, beginning, words in (
        ("model_list[7].model_info.mode", "mode: image_generation", "image_generation"),
        ("model_list[0].litellm_params.weight", "weight", "does not look at weights"),
        ("router_settings.retry_after", "retry_after", "pauses"),
        ("litellm_settings.default_team_settings", "default_team_settings", "receivers"),
        ("general_settings.alerting", "alerting", "no alerts"),
        ("general_settings.pass_through_endpoints", "pass_through_endpoints", "pass-through"),
        ("guardrails", "guardrails", "no guardrails"),
    ):
        assert words in left.get(f"{line_of(COMPANY, beginning)} {path}", ""), (path, left)


def test_every_key_of_the_source_is_told_once_at_least() -> None:
    notes = translate(COMPANY, Path("config.yaml")).notes
    lines = {note.line for note in notes}
    silent = {"model_list:", "router_settings:", "litellm_settings:", "general_settings:", "litellm_params:",
              "model_info:", "mode: chat", "mode: embedding", "fallbacks:", "default_internal_user_params:",
              "budget_duration: 7d", "budget_duration: 30d"}  # fmt: skip
    within = ("team_id", "- team_id", "success_callback: [\"langfuse\"]", "- path", "target", "- guardrail_name",
              "litellm_params: {guardrail", "model: openai/gpt-image-1", "- model_name: pictures", "content_policy",
              "context_window", "default_fallbacks", "fallbacks", "- gpt-4o", "- claude")  # fmt: skip
    for number, line in enumerate(COMPANY.splitlines(), 1):
        text = line.strip()
        if text and text not in silent and not text.startswith(within):
            assert number in lines, f"nothing is said of line {number}: {text}"


def test_a_laptops_proxy_starts_and_answers(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(LAPTOP.replace("master_key: sk-1234", "max_parallel_requests: 5"))
    assert hanok(tmp_path, "import", "litellm", "config.yaml").returncode == 0
    with open_house(tmp_path / "platform.yaml") as house:
        body = {"model": "canned", "messages": [{"role": "user", "content": "hello"}]}
        reply = call(f"{house.url}/v1/chat/completions", "POST", body, house.headers)
        assert reply.json["choices"][0]["message"]["content"] == "I am a teapot"
        names = [model["id"] for model in call(f"{house.url}/v1/models", headers=house.headers).json["data"]]
        assert sorted(names) == ["canned", "coder", "local"]


def test_a_broken_file_is_carried_over_as_it_was_meant_and_each_mistake_told(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(BROKEN)
    done = hanok(tmp_path, "import", "litellm", "config.yaml", "--json", env=WITHOUT_KEYS)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    wrong = {note["path"]: note["message"] for note in seen["wrong_in_source"]}
    for path, words in {
        "model_list[0].litellm_params.api_key": "a secret stands in the file",
        "model_list[0].litellm_params.rmp": "did you mean 'rpm'",
        "model_list[0].litellm_params.rpm": "at least 1",
        "model_list[1].litellm_params.rpm": "not a number",
        "model_list[1].model_name": "says again",
        "model_list[2].litellm_params.api_key": "os.environ/OPENAI_KEY",
        "model_list[2].model_name": "for embedding",
        "model_list[3].litellm_params.model": "'antropic'",
        "model_list[3].litellm_params.api_key": "os.environ/ANTHROPIC_API_KEY",
        "model_list[4].litellm_params.model": "openai/meta-llama/Llama-3-8B",
        "model_list[4].litellm_params.api_base": "http://",
        "model_list[4].litellm_params.api_key": "no variable",
        "model_list[7].model_name": "needs a model_name",
        "model_list[8].litellm_params": "needs litellm_params.model",
        "model_list[9]": "not a mapping",
        "model_list[10].litellm_params.api_base": "no address",
        "router_settings.routing_strategy": "fastest",
        "router_settings.num_retries": "written twice",
        "router_settings.cooldown_time": "disable_cooldowns",
        "router_settings.alowed_fails": "allowed_fails",
        "router_settings.fallbacks": "refuses to start",
        "router_settings.context_window_fallbacks[0]": "finds nothing in this",
        "router_settings.context_window_fallbacks[1]": "exactly one key",
        "litellm_settings.num_retries": "router_settings",
        "litellm_settings.fallbacks": "router_settings has fallbacks too",
        "litellm_settings.max_budget": "at least 0",
        "general_settings.master_key": "a secret stands in the file",
        "general_settings.database_url": "postgresql://",
        "general_settings.max_parallel_requests": "not a number",
        "modle_list": "did you mean 'model_list'",
    }.items():
        assert words in wrong.get(path, ""), f"{path}: {wrong.get(path)}"
    left = {note["path"]: note["message"] for note in seen["not_carried_over"]}
    assert "one name for many" in left["model_list[5].model_name"]
    assert "it comes from '*'" in left["router_settings.default_fallbacks[0]"]
    assert "did you mean 'gpt-4o'" in left["router_settings.default_fallbacks[1]"]
    assert [each["name"] for each in seen["variables"] if each["needed"]] == [
        "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY", "LITELLM_MASTER_KEY",
    ]  # fmt: skip
    models = {model["name"]: model for model in yaml.safe_load((tmp_path / "platform.yaml").read_text())["models"]}
    assert list(models) == ["gpt-4o", "typo", "bare", "my-model-old"]
    assert models["gpt-4o"]["fallbacks"]["error"] == ["typo"]
    assert models["gpt-4o"]["retries"] == 10
    assert models["gpt-4o"]["breaker"] == {"cooldown_s": 5}
    assert models["bare"]["serve"]["url"] == "http://vllm.internal:8000/v1"
    assert models["typo"]["serve"]["model"] == "anthropic/claude-3-5-haiku"


def test_a_secret_of_the_source_is_never_written_or_shown(tmp_path: Path) -> None:
    headers = "\n      extra_headers: {Authorization: Bearer very-hidden, X-Team: blue}\n      rmp: 100"
    (tmp_path / "config.yaml").write_text(BROKEN.replace("\n      rmp: 100", headers))
    done = hanok(tmp_path, "import", "litellm", "config.yaml", env=WITHOUT_KEYS)
    shown = done.stdout + done.stderr + (tmp_path / "platform.yaml").read_text()
    for secret in ("sk-proj-abc", "my-own-very-secret-key", "hunter2", "very-hidden"):
        assert secret not in shown
    assert "LITELLM_MASTER_KEY: the value of general_settings.master_key" in done.stderr
    assert "X-Team: blue" in shown


def test_the_same_secret_has_one_variable_and_another_has_another() -> None:
    entries = [("a", "sk-one-1111111"), ("b", "sk-two-2222222"), ("c", "sk-one-1111111")]
    listed = [{"model_name": name, "litellm_params": {"model": "gpt-4o", "api_key": key}} for name, key in entries]
    text = yaml.safe_dump({"model_list": listed})
    keys = [model["serve"]["key"] for model in translate(text, Path("c.yaml")).platform["models"]]
    assert keys == ["${env:OPENAI_API_KEY}", "${env:OPENAI_API_KEY_2}", "${env:OPENAI_API_KEY}"]


@pytest.mark.skipif(not SEED.exists(), reason="the platform document is not beside this repository")
def test_the_block_of_the_platform_document_is_taken_and_its_fallbacks_are_told(tmp_path: Path) -> None:
    blocks = re.findall(r"^  config\.yaml: \|\n((?:    .*\n|\n)+)", SEED.read_text("utf-8"), re.MULTILINE)
    block = next(each for each in blocks if "model_list" in each)
    (tmp_path / "config.yaml").write_text(textwrap.dedent(block))
    done = hanok(tmp_path, "import", "litellm", "config.yaml", "--json", env=WITHOUT_KEYS)
    assert done.returncode == 0, done.stderr
    wrong = json.loads(done.stdout)["wrong_in_source"]
    assert [note["path"] for note in wrong] == ["litellm_settings.fallbacks[0]"]
    assert "exactly one key" in wrong[0]["message"]
    models = {model["name"]: model for model in yaml.safe_load((tmp_path / "platform.yaml").read_text())["models"]}
    assert models["llama3-70b"]["fallbacks"] == {"error": ["gpt-4o", "claude-3-5-sonnet"]}
    assert models["llama3-8b"]["price"] == {"input": 0.05, "output": 0.15}


@pytest.mark.parametrize(
    ("fallbacks", "refused"),
    [
        ([{"a": ["b", "c"]}], False),
        ([{"model": "a", "fallback_models": ["b", "c"]}], True),
        ([{"model_name": "a", "fallbacks": ["b", "c"]}], True),
        ({"a": ["b", "c"]}, True),
        ([{"a": ["b", "c"], "c": ["b"]}], True),
    ],
)
def test_fallbacks_of_any_shape_mean_the_same(fallbacks: Any, refused: bool) -> None:
    text = yaml.safe_dump(
        {
            "model_list": [{"model_name": name, "litellm_params": {"model": f"ollama/{name}"}} for name in "abc"],
            "litellm_settings": {"fallbacks": fallbacks},
        }
    )
    assert made(text).platform.models[0].fallbacks.error == ["b", "c"]
    assert any("refuses to start" in message for message in told(text, "wrong").values()) == refused


def test_fallbacks_in_a_circle_are_cut_where_they_close() -> None:
    text = yaml.safe_dump(
        {
            "model_list": [{"model_name": name, "litellm_params": {"model": f"ollama/{name}"}} for name in "abc"],
            "litellm_settings": {"fallbacks": [{"a": ["b"]}, {"b": ["c"]}, {"c": ["a", "b"]}]},
        }
    )
    assert [model.fallbacks.error for model in made(text).platform.models] == [["b"], ["c"], []]
    assert sum("lead back" in message for message in told(text, "changed").values()) == 2


@pytest.mark.parametrize(
    ("usd", "duration", "amount", "per"),
    [
        (10, None, 10, "ever"), (10, "24h", 10, "day"), (10, "1d", 10, "day"), (30, "30d", 30, "month"),
        (30, "1mo", 30, "month"), (70, "1w", 10, "day"), (90, "3mo", 30, "month"), (5, "1h", 5, "day"),
        (14, "14d", 1, "day"), (0.7, "7d", 0.1, "day"), (8, "monthly", 8, "month"),
    ],
)  # fmt: skip
def test_a_budget_never_allows_more_than_it_did(usd: float, duration: str | None, amount: float, per: str) -> None:
    budget = made(one(model="ollama/x", max_budget=usd, budget_duration=duration)).platform.budgets[0]
    assert (budget.of, budget.name, budget.usd, budget.per) == ("model", "m", amount, per)


@pytest.mark.parametrize(
    ("params", "engine", "model", "url"),
    [
        ({"model": "openai/x", "api_base": "http://h:1/v1"}, "openai", "x", "http://h:1/v1"),
        ({"model": "gpt-4o"}, "openai", "gpt-4o", "https://api.openai.com/v1"),
        ({"model": "x/y", "custom_llm_provider": "openai", "api_base": "http://h"}, "openai", "x/y", "http://h"),
        ({"model": "ollama/x"}, "openai", "x", "http://localhost:11434/v1"),
        ({"model": "ollama/x", "api_base": "http://h:1/v1/"}, "openai", "x", "http://h:1/v1/"),
        ({"model": "groq/x"}, "openai", "x", "https://api.groq.com/openai/v1"),
        ({"model": "hosted_vllm/x"}, "openai", "x", "http://127.0.0.1:9"),
        ({"model": "ollama/x", "api_base": "os.environ/OLLAMA"}, "openai", "x", "http://127.0.0.1:9/v1"),
        ({"model": "openai/x", "api_base": "https://me:pw@h/v1?x=1"}, "openai", "x", "https://h/v1"),
        ({"model": "anthropic/x"}, "litellm", "anthropic/x", None),
        ({"model": "claude-3-haiku"}, "litellm", "anthropic/claude-3-haiku", None),
        ({"model": "azure/x", "api_base": "https://a.b"}, "litellm", "azure/x", "https://a.b"),
        ({"model": "gemini/x"}, "litellm", "gemini/x", None),
        ({"model": "unheard-of/x"}, "litellm", "unheard-of/x", None),
    ],
)
def test_a_providers_name_decides_the_engine(params: Any, engine: str, model: str, url: str | None) -> None:
    endpoint: Any = made(one(**params)).platform.models[0].serve[0]
    assert (endpoint.engine, endpoint.model, endpoint.url) == (engine, model, url)


def test_a_server_of_ones_own_with_a_broken_address_is_not_exchanged_for_its_providers() -> None:
    text = yaml.safe_dump({
        "model_list": [
            {"model_name": "a", "litellm_params": {"model": "openai/x", "api_base": "http://"}},
            {"model_name": "b", "litellm_params": {"model": "ollama/x"}},
        ]
    })  # fmt: skip
    assert [model.name for model in made(text).platform.models] == ["b"]


def test_the_last_of_two_equal_keys_counts_as_it_does_in_litellm() -> None:
    text = "model_list:\n- model_name: m\n  litellm_params:\n    model: ollama/a\n    timeout: 1\n    timeout: 2\n"
    assert made(text).platform.models[0].timeouts.first_byte_s == 2
    assert "line 5" in told(text, "wrong")["6 model_list[0].litellm_params.timeout"]


def test_credentials_that_are_named_stand_at_their_endpoints() -> None:
    text = (
        "model_list:\n- model_name: m\n  litellm_params: {model: openai/x, litellm_credential_name: mine}\n"
        "credential_list:\n- credential_name: mine\n  credential_values: {api_key: os.environ/MINE, api_base: http://h/v1}\n"
    )
    endpoint: Any = made(text).platform.models[0].serve[0]
    assert (endpoint.url, endpoint.key.get_secret_value()[:8]) == ("http://h/v1", "stand-in")


def test_a_config_map_and_helm_values_are_opened(tmp_path: Path) -> None:
    config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: litellm}\ndata:\n  config.yaml: |\n"
    (tmp_path / "map.yaml").write_text(config_map + textwrap.indent(LAPTOP, "    "))
    done = hanok(tmp_path, "import", "litellm", "map.yaml", "--out", "-", "--json")
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "map.yaml").read_text().splitlines()
    seen = json.loads(done.stdout)
    for note in seen["carried_over"]:
        key = re.findall(r"[\w]+", re.sub(r"\[\d+\]", "", note["path"]))[-1]
        assert key in lines[note["line"] - 1], note
    helm = yaml.safe_dump({"replicaCount": 2, "proxy_config": yaml.safe_load(LAPTOP)})
    assert len(made(helm).platform.models) == 3


def test_a_file_that_is_there_is_kept_unless_it_is_said_otherwise(folder: Path) -> None:
    (folder / "platform.yaml").write_text("mine")
    refused = hanok(folder, "import", "litellm", "config.yaml")
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert (folder / "platform.yaml").read_text() == "mine"
    assert hanok(folder, "import", "litellm", "config.yaml", "--force").returncode == 0
    assert (folder / "platform.yaml").read_text().startswith("# Made from config.yaml")
    assert sorted(each.name for each in folder.iterdir()) == ["config.yaml", "platform.yaml"]


def test_to_stdout_it_writes_the_platform_and_nothing_else(folder: Path) -> None:
    done = hanok(folder, "import", "litellm", "config.yaml", "--out", "-")
    assert done.returncode == 0
    assert len(yaml.safe_load(done.stdout)["models"]) == 7
    assert not (folder / "platform.yaml").exists()


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("model_list:\n\t- x", 2, "config.yaml:2:1: is not YAML: a tab"),
        ("", 2, "is empty"),
        ("- a\n- b\n", 2, "`model_list:`"),
        ("model_list: []\n", 1, "no model could be carried over"),
        ("litellm_settings: {}\n", 1, "no model could be carried over"),
        ("model_list:\n- model_name: '*'\n  litellm_params: {model: '*'}\n", 1, "one name for many models"),
        ("a: &a [*a]\n", 2, "refers to itself"),
        (None, 1, "no such file"),
    ],
)
def test_what_cannot_be_carried_over_at_all_is_refused(tmp_path: Path, text: str | None, code: int, words: str) -> None:
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    done = hanok(tmp_path, "import", "litellm", "config.yaml")
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "platform.yaml").exists()


ODD: list[Any] = [
    None, True, -1, 0, 1e300, 10**30, "", "*", "a b", "${env:X", "${env:X:-y}", "os.environ/X", "os.environ/", "$X",
    "sk-secret-0123456789", "http://", "https://u:p@h/?q", "1e-7", "nan",
    "ünï—\u2028\nx", [], {}, ["a"], [None], {"a": "b"},
    [{"a": ["b"]}], [[1]], {"model": "gpt-4o", "fallback_models": ["claude"]}, "2026-01-01", "x" * 300,
]  # fmt: skip


def spoiled(value: Any, chance: random.Random) -> Any:
    """The same configuration, with a few values exchanged for odd ones and a few keys misspelt."""
    if chance.random() < 0.04:
        return chance.choice(ODD)
    if isinstance(value, dict):
        return {key[1:] if chance.random() < 0.02 else key: spoiled(item, chance) for key, item in value.items()}
    return [spoiled(item, chance) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(4))
def test_whatever_stands_in_a_configuration_the_platform_is_valid_or_refused(seed: int) -> None:
    chance, valid = random.Random(seed), 0
    for _ in range(12):
        source = yaml.safe_load(chance.choice([COMPANY, BROKEN, LAPTOP, SHARED]))
        text = yaml.safe_dump({key: spoiled(item, chance) for key, item in source.items()})
        with contextlib.suppress(NothingToCarryOver):
            made(text)
            valid += 1
    assert valid


@pytest.mark.parametrize("text", [COMPANY, LAPTOP, BROKEN, SHARED], ids=["company", "laptop", "broken", "shared"])
def test_whatever_comes_of_a_configuration_can_be_planned(text: str) -> None:
    loaded = made(text)
    through_library = any(each.engine == "litellm" for model in loaded.platform.models for each in model.serve)
    if through_library and importlib.util.find_spec("litellm") is None:
        pytest.skip("the extra `providers` is not installed")
    assert len(plan(loaded)) == sum(len(model.serve) for model in loaded.platform.models)
