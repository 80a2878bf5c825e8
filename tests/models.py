"""Writes `src/hanok/gpu/models.json` from models' own config.json files: `python -m tests.models FOLDER`.

The folder holds files such as `Qwen--Qwen3-32B_config.json`, beside some `…_hf_quant_config.json`. Of each file only
the figures are kept that `hanok.gpu.anatomy` looks at: a reading is recorded, and what was looked at is written.
Entries of models without a file in the folder stay as they are.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from hanok.errors import PlanError
from hanok.gpu import anatomy
from hanok.gpu.anatomy import read_anatomy
from hanok.gpu.weights import LINEAR, Packing

ROOT = Path(__file__).parents[1]
OUT = ROOT / "src" / "hanok" / "gpu" / "models.json"
EYE = (
    "depth", "num_hidden_layers", "vt_num_hidden_layers", "hidden_size", "vt_hidden_size", "intermediate_size",
    "vt_intermediate_size",
)  # fmt: skip
ALSO = {
    "meta-llama/Meta-Llama-3.1-8B": ["meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct"],
    "meta-llama/Meta-Llama-3.1-70B": [
        "meta-llama/Llama-3.1-70B", "meta-llama/Llama-3.1-70B-Instruct", "meta-llama/Llama-3.3-70B-Instruct",
    ],
    "meta-llama/Meta-Llama-3.1-405B": ["meta-llama/Llama-3.1-405B", "meta-llama/Llama-3.1-405B-Instruct"],
    "mistralai/Mixtral-8x7B-v0.1": ["mistralai/Mixtral-8x7B-Instruct-v0.1"],
    "mistralai/Mixtral-8x22B-v0.1": ["mistralai/Mixtral-8x22B-Instruct-v0.1"],
    "deepseek-ai/DeepSeek-V3": ["deepseek-ai/DeepSeek-V3-0324", "deepseek-ai/DeepSeek-V3.1"],
    "Qwen/Qwen3-30B-A3B": ["Qwen/Qwen3-30B-A3B-Instruct-2507", "Qwen/Qwen3-Coder-30B-A3B-Instruct"],
    "Qwen/Qwen3-235B-A22B": ["Qwen/Qwen3-235B-A22B-Instruct-2507", "Qwen/Qwen3-235B-A22B-Thinking-2507"],
    "google/gemma-4-26B-A4B": ["google/gemma-4-26B-A4B-it"],
}  # fmt: skip
PUBLISHED = {  # 10⁹ parameters and those active, as model cards say
    "Qwen/Qwen3-0.6B": (0.6, 0.6), "Qwen/Qwen3-1.7B": (1.7, 1.7), "Qwen/Qwen3-8B": (8.2, 8.2),
    "Qwen/Qwen3-32B": (32.8, 32.8), "Qwen/Qwen3-30B-A3B": (30.5, 3.3), "Qwen/Qwen3-235B-A22B": (235, 22),
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": (480, 35), "Qwen/Qwen3.5-27B": (27, 27), "Qwen/Qwen3.5-35B-A3B": (35, 3),
    "Qwen/Qwen3.5-122B-A10B": (122, 10), "Qwen/Qwen3.5-397B-A17B": (397, 17), "deepseek-ai/DeepSeek-V3": (671, 37),
    "moonshotai/Kimi-K2-Instruct": (1026, 32), "openai/gpt-oss-120b": (116.8, 5.1), "openai/gpt-oss-20b": (20.9, 3.6),
    "meta-llama/Meta-Llama-3.1-8B": (8.03, 8.03), "meta-llama/Meta-Llama-3.1-70B": (70.6, 70.6),
    "meta-llama/Meta-Llama-3.1-405B": (405.9, 405.9), "mistralai/Mixtral-8x7B-v0.1": (46.7, 12.9),
    "mistralai/Mixtral-8x22B-v0.1": (140.6, 39.1), "meta-llama/Llama-4-Scout-17B-16E-Instruct": (109, 17),
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct": (400, 17), "XiaomiMiMo/MiMo-V2-Flash": (309, 15),
    "XiaomiMiMo/MiMo-7B-Base": (7.6, 7.6), "MiniMaxAI/MiniMax-M2.5": (229, 10), "zai-org/GLM-5": (744, 40),
    "google/gemma-4-26B-A4B": (25.8, 3.8), "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": (31.6, 3.2),
    "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-NVFP4": (120.6, 12), "nvidia/Nemotron-H-56B-Base-8K": (56, 56),
    "nvidia/Llama-3_3-Nemotron-Super-49B-v1": (49.9, 49.9),
}  # fmt: skip


class Recorded(dict[str, Any]):
    """A mapping that remembers which of its keys were looked at."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.seen: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.seen.add(key)
        return super().get(key, default)


def entries(folder: Path) -> dict[str, dict[str, Any]]:
    """What is kept of every config that can be read, by the model's name."""
    found = {
        _name(file): _entry(file) for file in sorted(folder.glob("*_config.json")) if "_hf_quant_" not in file.name
    }
    return {name: entry for name, entry in found.items() if entry}


def entries_and_kept(folder: Path) -> dict[str, dict[str, Any]]:
    """Those of the folder, and what else the file has."""
    return dict(sorted((json.loads(OUT.read_text("utf-8")) | entries(folder)).items(), key=lambda each: each[0]))


def _name(file: Path) -> str:
    return file.name.removesuffix("_config.json").replace("--", "/", 1)


def _entry(file: Path) -> dict[str, Any] | None:
    name, config = _name(file), json.loads(file.read_text("utf-8"))
    beside = file.with_name(file.name.replace("_config.json", "_hf_quant_config.json"))
    flat = {**config, **(config.get("text_config") or {}), "architectures": config.get("architectures")}
    recorded = Recorded(flat)
    try:
        packing = read_anatomy(name, config, json.loads(beside.read_text("utf-8")) if beside.exists() else None).packing
        _record(name, recorded)
    except PlanError as error:
        print("refused:", error.message)
        return {"refused": error.message.removeprefix(f"{name}: ")} if "not modelled" in error.message else None
    kept = {key: _short(flat[key]) for key in sorted(recorded.seen & flat.keys()) if flat[key] is not None}
    kept.pop("quantization_config", None)
    kept.pop("text_config", None)
    if eye := config.get("vision_config"):
        kept["vision_config"] = {key: eye[key] for key in EYE if key in eye}
    entry: dict[str, Any] = {"also": ALSO[name]} if name in ALSO else {}
    if name in PUBLISHED:
        entry["published_b"], entry["published_active_b"] = PUBLISHED[name]
    if packing != Packing():
        entry["packing"] = _packing(packing)
    return entry | {"config": kept}


def _record(name: str, recorded: Recorded) -> None:
    """Read once more, with the mapping that remembers in the place of the merged one."""
    reader = anatomy._Reader(name, recorded, recorded)
    reader.refuse()
    reader.anatomy(Packing())


def _packing(packing: Packing) -> dict[str, Any]:
    found: dict[str, Any] = {"format": packing.format}
    if packing.parts != LINEAR:
        found["parts"] = sorted(packing.parts)
    return found | {key: value for key, value in (("block", packing.block), ("group", packing.group)) if value}


def _short(value: Any) -> Any:
    """Long lists as how often each value comes; blocks with what is looked at only."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [
            {
                "attention": {"n_heads_in_group": each["attention"].get("n_heads_in_group")},
                "ffn": {"ffn_mult": each["ffn"].get("ffn_mult")},
            }
            for each in value
        ]
    if isinstance(value, list) and len(value) > 4:
        return dict(Counter(value))
    if isinstance(value, dict):
        return {key: _short(each) for key, each in value.items() if key in KEPT_INSIDE}
    return value


KEPT_INSIDE = ("use_sparse_attention", "sparse_attention_freq", "sparse_index_dim")


def render(folder: Path) -> str:
    """The file's text: JSON, one line a model."""
    told = [
        f"{json.dumps(name)}: {json.dumps(entry, ensure_ascii=False)}"
        for name, entry in entries_and_kept(folder).items()
    ]
    return "{\n" + ",\n".join(told) + "\n}\n"


if __name__ == "__main__":
    OUT.write_text(render(Path(sys.argv[1])), "utf-8")
    print("wrote", OUT.relative_to(ROOT))
