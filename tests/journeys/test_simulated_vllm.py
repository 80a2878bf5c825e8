"""Two real vLLM engines find in their caches what two simulated ones find, call by call.

The model is two layers of noise in a file made here, so that nothing is downloaded; prompts are token numbers.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import free_port

pytest.importorskip("vllm", reason="vLLM is not installed: pip install vllm")
sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from simulated import BLOCK, GROUP, GROUP_TOKENS, QWEN_32B, Engine, Request  # pyright: ignore

BLOCKS = 6 * GROUP
"""Six groups fit, so that calls push each other out."""
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 1024,
    "max_position_embeddings": 2560,
    "rms_norm_eps": 1e-5,
    "torch_dtype": "float32",
}
STARTS_S = 300.0


@contextmanager
def running_vllm(folder: Path) -> Iterator[str]:
    """An engine on a free port: its address."""
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--port", str(port)]
    command += ["--served-model-name", "noise", "--load-format", "dummy", "--skip-tokenizer-init", "--enforce-eager"]
    command += ["--block-size", str(BLOCK), "--num-gpu-blocks-override", str(BLOCKS + 1)]  # vLLM keeps one for itself
    command += ["--max-model-len", "2560", "--enable-prefix-caching"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            await_health(process, f"http://127.0.0.1:{port}", folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def await_health(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + STARTS_S
    while time.monotonic() < until and process.poll() is None:
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"{address}/health", timeout=1),
        ):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
    pytest.fail(f"vLLM did not start: {log.read_text(errors='replace')[-2000:]}")


def ask(address: str, prompt: list[int]) -> None:
    body = {"model": "noise", "prompt": prompt, "max_tokens": 1, "detokenize": False}
    request = urllib.request.Request(
        f"{address}/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        answer.read()


def hits(address: str) -> int:
    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return int(sum(float(each.rsplit(" ", 1)[1]) for each in lines if each.startswith("vllm:prefix_cache_hits_total")))


def tokens_of(group: int) -> list[int]:
    return [random.Random(group * 7919 + place).randrange(1, 1024) for place in range(GROUP_TOKENS)]


def test_real_engines_and_simulated_ones_find_the_same_in_their_caches(tmp_path: Path) -> None:
    rng = random.Random(1)
    simulated = [Engine(replace(QWEN_32B, blocks_factor=BLOCKS / QWEN_32B.blocks + 1e-9)) for _ in range(2)]
    with ExitStack() as stack:
        real: list[str] = []
        for number in range(2):
            (tmp_path / str(number)).mkdir()
            real.append(stack.enter_context(running_vllm(tmp_path / str(number))))
        for number in range(40):
            conversation, turn, place = rng.randrange(4), rng.randrange(1, 4), rng.randrange(2)
            hashes = (0, *(10 * (conversation + 1) + each for each in range(turn)))
            engine = simulated[place]
            engine.arrive(Request(number, 0.0, GROUP_TOKENS * len(hashes), 1, hashes), 1000.0 * number)
            engine.finish(engine.ends_at_s)
            ask(real[place], [token for each in hashes for token in tokens_of(each)])
            assert hits(real[place]) == engine.hit_tokens, f"call {number}: {hashes}"
