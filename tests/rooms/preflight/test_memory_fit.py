"""Does it fit: the sums of `hanok plan`, on the machines that a pod may be put on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hanok.gpu import GIB
from hanok.preflight.fit.needs import EngineFit, fits
from hanok.preflight.placement import Placement, Seat, Sharing
from tests.rooms.preflight.conftest import Look, catalog, facts, only
from tests.rooms.preflight.engine_text import LLAMA_8B, LLAMA_70B, engine, told

SHORT = "--max-model-len=8192"
OLD_70B = "meta-llama/Meta-Llama-3-70B-Instruct"


def fit_of(look: Look, text: str) -> EngineFit:
    (found,) = look(text).case.fits
    return found


@pytest.mark.parametrize(
    ("on", "gpus", "tokens"),
    [
        ("p4d.24xlarge", 4, 15_126),
        ("g5.48xlarge", 8, 21_359),
        ("g6e.12xlarge", 4, 73_688),
        ("p5en.48xlarge", 2, 421_072),
        ("p5.48xlarge", 4, 513_199),
    ],
)
def test_the_cache_of_llama_3_70b_is_as_reckoned_by_hand(look: Look, on: str, gpus: int, tokens: int) -> None:
    args = [OLD_70B, f"--tensor-parallel-size={gpus}", "--gpu-memory-utilization=0.95", SHORT]
    found = fit_of(look, engine(*args, on=on, gpus=gpus))
    assert found.weights_bytes / GIB == pytest.approx(131.4, abs=0.1)
    assert found.kv_tokens == tokens


@pytest.mark.parametrize("on", ["g5.12xlarge", "g5.24xlarge", "g6.12xlarge"])
def test_llama_70b_does_not_fit_on_four_small_gpus(look: Look, on: str) -> None:
    found = only(look(engine(LLAMA_70B, "-tp=4", SHORT, on=on, gpus=4)), "HK420")
    assert found.severity == "error"
    assert "weights 32.9 GiB + engine 4.0 GiB > 20.6 GiB usable" in found.message
    assert "16.9 GiB a GPU too few" in found.message
    assert "g6e.12xlarge" in found.hint
    assert "--quantization fp8" in found.hint


def test_llama_405b_fits_on_eight_h100_in_fp8_alone(look: Look) -> None:
    args = ["meta-llama/Llama-3.1-405B-Instruct", "-tp=8", SHORT]
    assert told(look(engine(*args, on="p5.48xlarge", gpus=8))) == ["HK420"]
    assert told(look(engine(*args, "--quantization=fp8", on="p5.48xlarge", gpus=8))) == []


def test_a_machine_that_comes_first_and_is_too_small_is_an_error_a_later_one_a_warning(look: Look) -> None:
    first = only(look(engine(LLAMA_70B, "-tp=4", SHORT, on=["g5.12xlarge", "g6e.12xlarge"], gpus=4)), "HK421")
    later = only(look(engine(LLAMA_8B, "--max-model-len=100k", on=["g6e.xlarge", "g5.8xlarge"])), "HK421")
    assert (first.severity, later.severity) == ("error", "warning")
    assert "g5.12xlarge" in first.message
    assert "leave only g6e.12xlarge" in first.hint
    assert "g5.8xlarge (NVIDIA A10G), and may be put there" in later.message


def test_without_a_pool_the_catalogue_is_asked(look: Look) -> None:
    report = look(engine(LLAMA_70B, "-tp=4", SHORT, on=[], gpus=4))
    assert told(report) == []
    assert "g6e.12xlarge" in only(report, "HK427").message
    nowhere = only(look(engine("meta-llama/Llama-3.1-405B-Instruct", "-tp=2", SHORT, on=[], gpus=2)), "HK420")
    assert "any instance type" in nowhere.message


@pytest.mark.parametrize(
    ("args", "on", "rule"),
    [
        ([LLAMA_8B], "g6.2xlarge", "HK422"),
        ([LLAMA_8B, "--max-model-len=131072"], "g5.2xlarge", "HK422"),
        ([OLD_70B.replace("70B", "8B"), "--max-model-len=16384"], "g6e.2xlarge", "HK423"),
        ([LLAMA_8B, SHORT, "--kv-cache-dtype=fp8"], "g5.2xlarge", "HK426"),
        ([LLAMA_8B, SHORT, "--dtype=bfloat16"], "g4dn.2xlarge", "HK426"),
        (["openai/gpt-oss-20b", SHORT], "g4dn.2xlarge", "HK426"),
    ],
)
def test_contexts_and_formats_that_cannot_be_are_found(look: Look, args: list[str], on: str, rule: str) -> None:
    assert rule in told(look(engine(*args, on=on)))


@pytest.mark.parametrize(
    ("args", "on"),
    [
        ([LLAMA_8B, "--max-model-len=auto"], "g6.2xlarge"),
        ([LLAMA_8B, "--max-model-len=32768"], "g6e.2xlarge"),
        ([LLAMA_8B, SHORT, "--kv-cache-dtype=fp8"], "g6.2xlarge"),
        ([OLD_70B.replace("70B", "8B"), "--max-model-len=16384", '--hf-overrides={"rope_scaling": {}}'], "g6e.2xlarge"),
        (["Qwen/Qwen3-8B", "--runner=pooling", SHORT], "g6.2xlarge"),
        (["openai/gpt-oss-20b", SHORT], "g6.2xlarge"),
        ([LLAMA_8B, SHORT, "--dtype=half"], "g6.2xlarge"),
    ],
)
def test_what_fits_is_no_finding(look: Look, args: list[str], on: str) -> None:
    assert told(look(engine(*args, on=on))) == []


def test_a_shorter_context_is_offered_where_it_helps(look: Look) -> None:
    hint = only(look(engine(LLAMA_8B, on="g6.2xlarge")), "HK422").hint
    length = int(hint.split("--max-model-len ")[1].split("`")[0])
    assert told(look(engine(LLAMA_8B, f"--max-model-len={length}", on="g6.2xlarge"))) == []


@pytest.mark.parametrize(
    ("args", "gpus", "severity"),
    [
        (["-tp=8"], 4, "error"),
        (["-tp=4", "-pp=2"], 4, "error"),
        (["-tp=2", "--data-parallel-size=4"], 4, "error"),
        (["-tp=4"], 8, "warning"),
    ],
)
def test_gpus_are_as_many_as_the_engine_uses(look: Look, args: list[str], gpus: int, severity: str) -> None:
    report = look(engine(LLAMA_70B, SHORT, *args, on="p5.48xlarge", gpus=gpus))
    assert only(report, "HK424").severity == severity


@pytest.mark.parametrize(
    "args",
    [["-tp=4"], ["-tp=2", "-pp=2"], ["-tp=2", "-dp=2"], ["-tp=4", "-dp=8", "-dpl=1", "--data-parallel-address=a"]],
)
def test_gpus_of_all_sizes_multiply(look: Look, args: list[str]) -> None:
    assert told(look(engine("Qwen/Qwen3-30B-A3B", SHORT, *args, on="p5.48xlarge", gpus=4))) == []


def test_an_engine_that_asks_for_no_gpu_is_told(look: Look) -> None:
    assert told(look(engine(on=[], resources={}))) == ["HK424"]
    env = [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]
    assert told(look(engine(on=[], resources={}, env=env))) == []
    assert told(look(engine(on=[], resources={"claims": [{"name": "gpu"}]}))) == []
    assert told(look(engine(on=[], resources={"limits": {"amd.com/gpu": 1}}))) == []


def test_the_gpus_of_a_whole_group_count(look: Look) -> None:
    container = (
        "{name: vllm, image: 'vllm/vllm-openai:v0.32.0', resources: {limits: {nvidia.com/gpu: 8}}, "
        "args: [meta-llama/Llama-3.1-405B-Instruct, --max-model-len=8192, -tp=8, -pp=SIZE]}"
    )
    assert "HK424" not in told(look(group(container.replace("SIZE", "2"))))
    assert "HK424" in told(look(group(container.replace("SIZE", "4"))))


def group(container: str) -> str:
    return f"""apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {{name: big}}
spec:
  replicas: 2
  leaderWorkerTemplate:
    size: 2
    leaderTemplate: {{spec: {{containers: [{container}]}}}}
    workerTemplate:
      spec: {{containers: [{{name: vllm, image: x, resources: {{limits: {{nvidia.com/gpu: 8}}}}}}]}}
"""


def test_a_split_that_divides_nothing_is_an_error(look: Look) -> None:
    found = only(look(engine(LLAMA_70B, SHORT, "-tp=3", on="p5.48xlarge", gpus=3)), "HK425")
    assert "64 attention heads do not divide among 3 GPUs" in found.message


def test_large_chunks_are_told_where_they_take_the_caches_room(look: Look) -> None:
    args = [OLD_70B, "-tp=4", "--gpu-memory-utilization=0.95", SHORT, "--max-num-batched-tokens=32768"]
    assert "HK411" in told(look(engine(*args, on="p4d.24xlarge", gpus=4)))
    assert told(look(engine(*args, on="g6e.12xlarge", gpus=4))) == []


def test_what_is_within_the_estimates_error_is_a_warning(look: Look) -> None:
    assert told(look(engine(LLAMA_70B, "-tp=4", SHORT, on="p4d.24xlarge", gpus=4))) == ["HK429"]


def test_a_slice_has_its_own_memory(look: Look) -> None:
    def on(profile: str, model: str) -> list[str]:
        limits = {f"nvidia.com/mig-{profile}": 1}
        return told(look(engine(model, SHORT, on="p4de.24xlarge", resources={"limits": limits})))

    assert on("7g.80gb", LLAMA_70B) == ["HK420"]
    assert on("2g.20gb", LLAMA_8B) == ["HK429"]
    assert on("3g.40gb", LLAMA_8B) == []


def test_gpus_that_are_taken_in_turns_are_told(look: Look) -> None:
    host = catalog().instances["g6e.2xlarge"]
    (given,) = look(engine()).case.engines
    seat = Seat(
        pool="gpu", manifest=None, instance="g6e.2xlarge", host=host, capacities=frozenset({"on-demand"}),
        sharing=Sharing(kind="time-slicing", replicas=4), usd_hour=host.usd_hour,
    )  # fmt: skip
    (found,) = fits([given], Placement(seats={given.workload: [seat]}), facts())
    assert (found.assumed, [each.seat for each in found.fittings]) == (False, [seat])
    shared = engine(on=[], resources={"limits": {"nvidia.com/gpu.shared": 1}})
    assert "92%" in only(look(shared), "HK430").message


def test_the_cache_is_told_as_calls_at_once(look: Look) -> None:
    report = look(engine(LLAMA_8B, "--max-model-len=32768", "--max-num-seqs=256", on="g6e.2xlarge"))
    message = only(report, "HK427").message
    (found,) = report.case.fits
    assert f"{found.kv_tokens:,} tokens of cache, {found.calls} calls of 32,768 tokens at once" in message
    assert "not the 256 of --max-num-seqs" in message


def test_a_copy_over_several_machines_costs_all_of_them(look: Look) -> None:
    container = (
        "{name: vllm, image: 'vllm/vllm-openai:v0.32.0', resources: {limits: {nvidia.com/gpu: 8}}, "
        "args: [meta-llama/Llama-3.1-405B-Instruct, --max-model-len=8192, -tp=8, -pp=2]}"
    )
    message = only(look(group(container)), "HK427").message
    assert "2 × p4de.24xlarge (16 × NVIDIA A100 80GB SXM, $54.89/h)" in message


def test_a_model_that_is_not_known_is_asked_for_once(look: Look, tmp_path: Path) -> None:
    text = engine("/models/ours", SHORT)
    report = look({"a.yaml": text, "b.yaml": text.replace("name: engine\n", "name: other\n")})
    assert [each.rule.id for each in report.findings].count("HK428") == 1
    assert report.verdict == "unknown"


def test_models_of_a_folder_are_known_by_the_end_of_their_path(tmp_path: Path) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336,
        "max_position_embeddings": 8192, "num_attention_heads": 32, "num_hidden_layers": 32,
        "num_key_value_heads": 8, "vocab_size": 128256,
    }  # fmt: skip
    (tmp_path / "models" / "ours").mkdir(parents=True)
    (tmp_path / "models" / "ours" / "config.json").write_text(json.dumps(config))
    (tmp_path / "a.yaml").write_text(engine("/mnt/models/ours", SHORT))
    command = [sys.executable, "-m", "hanok", "preflight", str(tmp_path / "a.yaml"), "--json"]
    told: list[bool] = []
    for more in ([], ["--models", str(tmp_path / "models")]):
        ran = subprocess.run([*command, *more], capture_output=True, check=False, text=True, cwd=tmp_path)
        told.append("HK428" in [each["rule"] for each in json.loads(ran.stdout)["findings"]])
    assert told == [True, False]
