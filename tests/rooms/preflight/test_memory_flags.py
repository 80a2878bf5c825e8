"""Flags, variables and images of engines: what vLLM would stop at is found, what it takes is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanok.preflight import Case, Report, gather, preflight
from tests.rooms.preflight.conftest import SEEDS, Look, facts, only
from tests.rooms.preflight.engine_text import LLAMA_8B, engine, told

SHORT = "--max-model-len=8192"


def read(article: Path) -> Report:
    return preflight(Case(cluster=gather([article]).cluster, facts=facts()))


@pytest.mark.parametrize(
    "args",
    [
        [LLAMA_8B, SHORT],
        ["--model", LLAMA_8B, SHORT],
        [LLAMA_8B, SHORT, "-tp", "1", "--port=8000", "--host", "0.0.0.0", "--served-model-name", "a", "b"],
        [LLAMA_8B, SHORT, "--no-enable-prefix-caching", "--no-enable-log-requests"],
        [LLAMA_8B, SHORT, "--compilation-config.cudagraph_mode", "FULL", "-O3", "--max_num_seqs=64"],
        [LLAMA_8B, SHORT, "--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--api-key", "$(KEY)"],
        [LLAMA_8B, SHORT, "--speculative-config", '{"method": "ngram", "num_speculative_tokens": 3}'],
        ["--enable-lora", LLAMA_8B, SHORT, "--lora-modules", "a=/a", "b=/b", "--max-log-len=100"],
        [LLAMA_8B, "--max-model-len", "8k", "--kv-transfer-config", '{"kv_connector":"NixlConnector"}'],
        [LLAMA_8B, SHORT, "--tensor-parallel=1"],
    ],
)
def test_flags_that_vllm_has_are_no_findings(look: Look, args: list[str]) -> None:
    assert told(look(engine(*args))) == []


@pytest.mark.parametrize(
    ("flag", "rule", "words"),
    [
        ("--max-modle-len=4096", "HK401", "--max-model-len"),
        ("--gpu-memory-utilisation=0.9", "HK401", "--gpu-memory-utilization"),
        ("--max-num-seqs 64", "HK401", "make it two"),
        ("--prefill-endpoint=http://a", "HK401", "llm-d"),
        ("--swap-space=16", "HK402", "--kv-offloading-size"),
        ("--use-v2-block-manager", "HK402", "delete"),
        ("--num-scheduler-steps=8", "HK402", "async"),
        ("--guided-decoding-backend=xgrammar", "HK402", "--structured-outputs-config"),
        ("--dtype=bf16", "HK410", "bfloat16"),
        ("--max-num-seqs=many", "HK410", "whole number"),
        ("--gpu-memory-utilization=95", "HK410", "share"),
        ("--enable-prefix-caching=true", "HK410", "switch"),
        ("--gpu-memory-utilization=0.99", "HK412", "weights, activations and cache"),
    ],
)
def test_a_flag_that_vllm_stops_at_is_found_in_its_line(look: Look, flag: str, rule: str, words: str) -> None:
    text = engine(LLAMA_8B, SHORT, flag)
    found = only(look(text), rule)
    assert words in f"{found.message} {found.hint}"
    assert flag in text.splitlines()[found.line - 1]


@pytest.mark.parametrize(
    ("image", "flag", "severity"),
    [
        ("vllm/vllm-openai:v0.17.1", "--swap-space=16", "info"),
        ("vllm/vllm-openai:v0.18.0", "--swap-space=16", "error"),
        ("vllm/vllm-openai:latest", "--swap-space=16", "error"),
        ("vllm/vllm-openai@sha256:" + "0" * 64, "--swap-space=16", "error"),
        ("vllm/vllm-openai:v0.8.5", "--kv-offloading-size=8", "error"),
        ("registry.example/vllm:ours", "--swap-space=16", "warning"),
    ],
)
def test_a_flag_is_judged_by_the_version_in_the_image(look: Look, image: str, flag: str, severity: str) -> None:
    assert only(look(engine(LLAMA_8B, SHORT, flag, image=image)), "HK402").severity == severity


def test_a_tag_that_counts_releases_of_another_is_no_version_of_vllm(look: Look) -> None:
    assert told(look(engine(LLAMA_8B, SHORT, "--no-enable-log-requests", image="lmcache/vllm-openai:v0.3.9"))) == []


def test_unknown_flags_of_old_and_strange_images_are_warnings(look: Look) -> None:
    for image in ("vllm/vllm-openai:v0.9.1", "registry.example/vllm:ours"):
        assert only(look(engine(LLAMA_8B, SHORT, "--odd", image=image)), "HK401").severity == "warning"


@pytest.mark.parametrize(
    "image",
    ["lmsysorg/sglang:v0.5", "ghcr.io/huggingface/text-generation-inference:3", "ghcr.io/ggml-org/llama.cpp:server"],
)
def test_nothing_is_claimed_of_other_servers(look: Look, image: str) -> None:
    assert told(look(engine("--model-path=x", "--odd", image=image, readinessProbe=None)), least="info") == []


def test_flags_in_a_shells_script_are_found(look: Look) -> None:
    script = f"pip install x && exec vllm serve {LLAMA_8B} \\\n  {SHORT} --swap-space 4 2>&1 | tee /log"
    found = only(look(engine(command=["/bin/sh", "-c"], args=[script])), "HK402")
    assert "--swap-space" in found.message


def test_variables_are_filled_in_and_what_cannot_be_leaves_the_verdict_open(look: Look) -> None:
    env = [{"name": "LENGTH", "value": "8192"}]
    assert told(look(engine(LLAMA_8B, "--max-model-len=$(LENGTH)", env=env)), least="info") == ["HK427"]
    found = only(look(engine("$(MODEL)", SHORT)), "HK428")
    assert "only known when it starts" in found.message


def test_code_of_a_models_repository_is_trusted_only_where_it_must_be(look: Look) -> None:
    assert told(look(engine(LLAMA_8B, SHORT, "--trust-remote-code"))) == ["HK405"]
    kimi = ["moonshotai/Kimi-K2-Instruct", SHORT, "--tensor-parallel-size=8", "--trust-remote-code"]
    assert "HK405" not in told(look(engine(*kimi, on="p6-b200.48xlarge", gpus=8)))


def test_old_images_tokens_and_variables_are_told(look: Look) -> None:
    env = [{"name": "VLLM_ATTENTION_BACKEND", "value": "FLASH_ATTN"}, {"name": "HUGGING_FACE_HUB_TOKEN", "value": "x"}]
    assert only(look(engine(image="vllm/vllm-openai:v0.6.4")), "HK406").severity == "warning"
    assert only(look(engine(image="vllm/vllm-openai:latest")), "HK407").severity == "info"
    now, before = look(engine(env=env)), look(engine(env=env, image="vllm/vllm-openai:v0.9.0"))
    assert [only(each, "HK408").severity for each in (now, before)] == ["warning", "info"]
    assert only(now, "HK409").severity == "info"


@pytest.mark.parametrize(("value", "severity"), [("1", "info"), ("0", "warning")])
def test_asking_for_the_only_engine_is_harmless(look: Look, value: str, severity: str) -> None:
    found = only(look(engine(env=[{"name": "VLLM_USE_V1", "value": value}])), "HK408")
    assert (found.severity, found.hint) == (severity, "delete it: there is one engine")


def test_model_as_a_flag_is_told_where_vllm_serve_is_given(look: Look) -> None:
    served = engine(command=["vllm", "serve"], args=["--model", LLAMA_8B, SHORT])
    assert only(look(served), "HK404").severity == "info"
    module = ["python3", "-m", "vllm.entrypoints.openai.api_server"]
    assert "HK404" not in told(look(engine(command=module, args=["--model", LLAMA_8B, SHORT])), least="info")


ARTICLE = SEEDS / "agentic-ai-platform.md"


@pytest.mark.skipif(not ARTICLE.exists(), reason="the article is not here")
def test_every_fault_of_the_article_is_found() -> None:
    report = read(ARTICLE)
    found = {(each.line, each.rule.id) for each in report.findings}
    assert found >= {
        (127, "HK458"), (139, "HK450"), (144, "HK453"), (153, "HK451"), (184, "HK456"), (187, "HK454"),
        (225, "HK452"), (225, "HK457"),
        (400, "HK406"), (405, "HK409"), (410, "HK408"), (425, "HK405"), (439, "HK436"),
        (508, "HK403"), (512, "HK402"), (522, "HK403"), (534, "HK403"),
        (574, "HK401"), (595, "HK401"), (597, "HK401"),
    }  # fmt: skip


def test_arguments_in_an_article_are_vllms_only_where_flags_say_so(tmp_path: Path) -> None:
    blocks = ["args: [--swap-space, '4']", "args: [--config=/etc/x, --port=80]", "args: [--model, x, --odd]"]
    text = "".join(f"```yaml\n{each}\n```\n" for each in blocks)
    (tmp_path / "post.md").write_text(text)
    report = read(tmp_path / "post.md")
    assert told(report) == ["HK402"]
