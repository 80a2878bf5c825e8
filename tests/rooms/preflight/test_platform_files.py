"""Hanok's own file: what `hanok check` refuses, whether GPUs can serve its models, and whether prices pay for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hanok.gpu import load_models
from hanok.preflight import gather
from tests.rooms.preflight.conftest import Look, ids, only

CHAT = 'models:\n- name: chat\n  serve: {engine: openai, url: "http://vllm:8000/v1"}\n'
DOOR = "gateway: {host: 0.0.0.0, workers: 4}\n"


def chat(deploy: str, **more: str) -> str:
    """One model behind a URL, with these lines of `deploy` and others."""
    return CHAT + f"  deploy: {{{deploy}}}\n" + "".join(f"  {name}: {value}\n" for name, value in more.items())


def test_every_problem_of_the_file_is_an_error_at_its_line(look: Look) -> None:
    report = look({"platform.yaml": "models:\n- name: chat\n  serve: {engine: echo}\n  prise: 1\nledgr: {}\n"})
    told = [(each.line, each.rule.id) for each in report.findings]
    assert (report.verdict, told) == ("refuted", [(4, "HK701"), (5, "HK701")])
    assert "price" in report.findings[0].hint


def test_a_platform_file_among_manifests_is_known_by_its_models(look: Look) -> None:
    report = look({"a/hanok.yaml": CHAT, "b/values.yaml": "models:\n- name: x\n  provider: y\n"})
    assert [each.manifest.file.rsplit("/", 1)[-1] for each in report.case.platforms] == ["hanok.yaml"]
    assert report.verdict == "proved"


def test_a_file_of_that_name_is_hanoks_even_without_models(look: Look) -> None:
    assert "HK701" in ids(look({"platform.yaml": "gateway: {port: 1}\n"}))


def test_what_is_found_while_reading_is_not_told_twice(look: Look) -> None:
    report = look({"platform.yaml": CHAT + "  name: other\n"})
    assert "HK002" in ids(report)
    assert "HK701" not in ids(report)


def test_a_platform_in_an_article_is_told_by_the_articles_lines(tmp_path: Path, look: Look) -> None:
    article = f"# A platform\n\n```yaml\n{CHAT}  prise: 1\n```\n"
    (tmp_path / "post.md").write_text(article)
    (found,) = gather([tmp_path / "post.md"]).platforms
    assert (found.before, found.manifest.line("models")) == (3, 4)


def test_variables_that_are_not_set_here_are_let_pass(look: Look) -> None:
    text = CHAT.replace('"http://vllm:8000/v1"', '"${env:URL}", key: "${env:KEY}"')
    assert look({"platform.yaml": text}).verdict == "proved"


@pytest.mark.parametrize(
    ("deploy", "rule", "words"),
    [
        (
            "weights: Qwen/Qwen3-32B, gpu: [g6.xlarge]",
            "HK702",
            "no machine of the catalogue serves chat; nearest: g6.xl",
        ),
        ("weights: Qwen/Qwen3-32B, context_tokens: 999999", "HK702", "wanted are 999999"),
        ("weights: Qwen/Qwen3-32B, gpu: [warp9]", "HK702", "'warp9'"),
        ("weights: our-own/answers-9b", "HK703", "answers-9b"),
    ],
)
def test_what_cannot_be_planned_is_an_error_where_the_model_is_known_and_open_else(
    look: Look, deploy: str, rule: str, words: str
) -> None:
    report = look({"platform.yaml": chat(deploy)})
    assert words in only(report, rule).message
    assert report.verdict == ("unknown" if rule == "HK703" else "refuted")


def test_a_model_that_fits_nowhere_is_told_what_would_help(look: Look) -> None:
    report = look({"platform.yaml": chat("weights: Qwen/Qwen3-32B, gpu: [g6.xlarge]")})
    hint = only(report, "HK702").hint
    assert "other machines than `gpu` names: 1×" in hint
    assert "$" in hint


def test_a_model_that_fits_is_proved_and_stands_in_the_bill(look: Look) -> None:
    report = look({"platform.yaml": chat("weights: Qwen/Qwen3-32B, context_tokens: 16384, concurrency: 16")})
    assert report.verdict == "proved"
    (model,) = report.case.bill.models
    assert model.best is not None
    assert model.best.cost is not None
    assert report.case.bill.least.on_demand == report.case.bill.most.on_demand == model.best.cost.hour


def test_a_model_in_a_folder_beside_the_file_is_planned(look: Look) -> None:
    config = json.dumps(load_models()["Qwen/Qwen3-8B"]["config"])
    report = look({"platform.yaml": chat("weights: ./weights"), "weights/config.json": config})
    assert [each.model.name for each in report.case.bill.models] == ["chat"]
    assert "HK703" in ids(look({"platform.yaml": chat("weights: ./elsewhere")}))


@pytest.mark.parametrize(
    ("price", "load", "found"),
    [
        ("{input: 0.02, output: 0.05}", "load: {requests_per_s: 1}", True),
        ("{input: 5, output: 9}", "load: {requests_per_s: 1}", False),
        ("{input: 0.001, output: 0.002}", "concurrency: 8", True),
        ("{input: 0.4, output: 0.9}", "load: {requests_per_s: 0.05}", True),
        ("{input: 0.4, output: 0.9}", "concurrency: 8", False),
        ("{input: 0, output: 0}", "load: {requests_per_s: 1}", False),
    ],
)
def test_a_price_must_pay_for_its_gpus_at_the_declared_load(look: Look, price: str, load: str, found: bool) -> None:
    report = look({"platform.yaml": chat(f"weights: Qwen/Qwen3-8B, gpu: [g6.*], {load}", price=price)})
    assert ("HK705" in ids(report)) is found


def test_a_budget_in_dollars_needs_prices_of_engines_of_ones_own(look: Look) -> None:
    own = "models:\n- name: chat\n  serve: {engine: vllm, model: Qwen/Qwen3-8B}\n"
    budget = "budgets: [{of: team, usd: 5}]\n"
    assert "HK706" in ids(look({"platform.yaml": own + budget}))
    assert "HK706" not in ids(look({"platform.yaml": own}))
    assert "HK706" not in ids(look({"platform.yaml": own + "  price: {input: 1, output: 1}\n" + budget}))
    assert "HK706" not in ids(look({"platform.yaml": own + "budgets: [{of: team, tokens: 5}]\n"}))
    assert "HK706" not in ids(look({"platform.yaml": CHAT + budget}))


def test_a_model_with_one_endpoint_is_mentioned_and_one_for_tests_is_not(look: Look) -> None:
    assert only(look({"platform.yaml": CHAT}), "HK707").severity == "info"
    stands_in = CHAT + "  fallbacks: [other]\n- name: other\n  serve: {engine: echo}\n"
    assert "HK707" not in ids(look({"platform.yaml": stands_in}))


def windows(own: int, other: int, kind: str = "context_window") -> str:
    engine = "engine: vllm, model: Qwen/Qwen3-8B, flags: {max-model-len: %d}"
    first = f"models:\n- name: a\n  serve: {{{engine % own}}}\n  fallbacks: {{{kind}: [b]}}\n"
    return first + f"- name: b\n  serve: {{{engine % other}}}\n"


def test_a_fallback_for_long_prompts_must_take_longer_ones(look: Look) -> None:
    assert "b takes 4,096 tokens" in only(look({"platform.yaml": windows(8192, 4096)}), "HK708").message
    assert "HK708" in ids(look({"platform.yaml": windows(8192, 8192)}))
    assert "HK708" not in ids(look({"platform.yaml": windows(8192, 16384)}))
    assert "HK708" not in ids(look({"platform.yaml": windows(8192, 4096, "error")}))


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("sk-4f1d09ab77c3e2", True),
        ("hf_abcdefghijklmnop", True),
        ("4f1d09ab77c3e2aa01bb9cc2", True),
        ("dummy", False),
        ("EMPTY", False),
        ("${env:KEY}", False),
        ("${env:KEY:-dummy}", False),
    ],
)
def test_secrets_in_plain_text_are_known_by_their_look(look: Look, key: str, found: bool) -> None:
    text = CHAT.replace('/v1"', f'/v1", key: "{key}"')
    report = look({"platform.yaml": text})
    assert ("HK710" in ids(report)) is found
    assert key not in "".join(each.message for each in report.findings)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("ledger: {database: 'postgresql://me:pass@db.prod:5432/x'}", True),
        ("ledger: {database: 'postgresql://me:pass@localhost/x'}", False),
        ("ledger: {redis: 'redis://cache:6379'}", False),
        ("gateway: {admin_key: 0123456789abcdef0123}", True),
        ("telemetry: {export: {url: 'http://c:4318', headers: {x-api-key: sk-4f1d09ab77c3e2}}}", True),
        ("telemetry: {export: {url: 'http://c:4318', headers: {x-team: research}}}", False),
    ],
)
def test_secrets_are_looked_for_everywhere(look: Look, lines: str, found: bool) -> None:
    report = look({"platform.yaml": lines + "\n" + CHAT})
    assert ("HK710" in ids(report)) is found


def test_keys_among_an_engines_options_are_secrets(look: Look) -> None:
    serve = "{engine: litellm, model: bedrock/x, options: {aws_secret_access_key: 4f1d09ab77c3e2aa01bb9cc2}}"
    found = only(look({"platform.yaml": f"models:\n- name: chat\n  serve: {serve}\n"}), "HK710")
    assert (found.line, found.path) == (3, "models[0].serve[0].options.aws_secret_access_key")


def test_settings_of_a_laptop_are_mentioned_on_a_server_alone(look: Look) -> None:
    local = "models:\n- name: chat\n  serve: {engine: llamacpp}\n"
    spans = "telemetry: {export: {url: 'http://localhost:4318'}}\n"
    assert ids(look({"platform.yaml": spans + local})) == ["HK707"]
    report = look({"platform.yaml": DOOR.replace("4", "1") + spans + local})
    assert {"HK711", "HK712", "HK713"} <= set(ids(report))
    assert {each.severity for each in report.findings} == {"info"}
    assert not {"HK711", "HK712", "HK713"} & set(ids(look({"platform.yaml": DOOR + CHAT})))


def test_a_finding_of_a_platform_file_can_be_ignored_with_a_reason(look: Look) -> None:
    text = CHAT.replace("  serve", "  # hanok: ignore HK707 many replicas behind this URL\n  serve")
    report = look({"platform.yaml": text})
    assert (ids(report), [each.rule.id for each in report.ignored]) == ([], ["HK707"])


def provider(model: str, price: str = "", engine: str = "litellm") -> str:
    own = 'url: "https://api.openai.com/v1", ' if engine == "openai" else ""
    text = f"models:\n- name: chat\n  serve: {{engine: {engine}, {own}model: {model}}}\n"
    return text + (f"  price: {price}\n" if price else "")


def test_a_model_that_its_provider_has_ended_is_an_error(look: Look) -> None:
    found = only(look({"platform.yaml": provider("anthropic/claude-2.1")}), "HK714")
    assert (found.severity, found.line) == ("error", 3)
    assert "is not served any more since 2025-07-21" in found.message
    assert "HK714" in ids(look({"platform.yaml": provider("gpt-4-vision-preview", engine="openai")}))
    assert "HK714" not in ids(look({"platform.yaml": provider("bedrock/claude-2.1")}))
    assert "HK714" not in ids(look({"platform.yaml": CHAT.replace('v1"', 'v1", model: gpt-4-vision-preview')}))


@pytest.mark.parametrize(
    ("price", "found"),
    [
        ("{input: 0.5, output: 8}", True),
        ("{input: 2, output: 1}", True),
        ("{input: 2, output: 8}", False),
        ("{input: 4, output: 16}", False),
        ("", False),
    ],
)
def test_a_price_below_the_providers_is_told(look: Look, price: str, found: bool) -> None:
    assert ("HK715" in ids(look({"platform.yaml": provider("openai/gpt-4.1", price)}))) is found


def test_spot_is_reckoned_with_where_the_file_asks_for_it(look: Look) -> None:
    bill = look({"platform.yaml": chat("weights: Qwen/Qwen3-8B, spot: true")}).case.bill
    assert bill.most.low < bill.most.high < bill.most.on_demand


def test_a_platform_file_in_a_configmap_is_held_to_the_same_rules_at_its_lines(look: Look) -> None:
    text = "models:\n- {name: a, serve: {engine: echo}}\n- {name: a, serve: {engine: echo}}\n"
    held = "".join(f"    {line}\n" for line in text.splitlines())
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hanok, namespace: a}\ndata:\n  platform.yaml: |\n"
    report = look({"configmap.yaml": head + held})
    [finding] = [each for each in report.findings if each.rule.id == "HK701"]
    assert (finding.line, finding.path) == (8, "models[1].name")
    good = look({"configmap.yaml": head + held.replace("- {name: a", "- {name: b", 1)})
    assert "HK701" not in ids(good)
