"""Writes `src/hanok/gpu/catalog.yaml` from tables: `python -m tests.catalog FOLDER`.

The folder holds `instances.csv` (figures of Karpenter's AWS provider), `mig_profiles.json` (NVIDIA's go-nvml) and
`vllm_memory_constants.json` (llm-d-planner). What no table holds, stands here: figures of data sheets, prices of APIs.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OUT = ROOT / "src" / "hanok" / "gpu" / "catalog.yaml"

SHEET = "{} data sheet"
PCIE3, PCIE4, PCIE5 = ("PCIe 3", 16), ("PCIe 4", 32), ("PCIe 5", 64)
NVLINK2, NVLINK3, NVLINK4, NVLINK5 = ("NVLink 2", 150), ("NVLink 3", 300), ("NVLink 4", 450), ("NVLink 5", 900)
NVIDIA: dict[str, tuple[Any, ...]] = {
    # title, MIB of memory, compute capability, GB/s, dense TFLOPS bf16, fp8, int8, fp4, link, multiprocessors
    "t4": ("NVIDIA T4", 16384, 7.5, 320, 65, None, 130, None, PCIE3, 40),
    "t4g": ("NVIDIA T4G", 16384, 7.5, 320, 65, None, 130, None, PCIE3, 40),
    "v100": ("NVIDIA V100 32GB", 32768, 7.0, 900, 125, None, None, None, NVLINK2, 80),
    "a10g": ("NVIDIA A10G", 22888, 8.6, 600, 70, None, 140, None, PCIE4, 80),
    "l4": ("NVIDIA L4", 22888, 8.9, 300, 121, 242, 242, None, PCIE4, 58),
    "l40s": ("NVIDIA L40S", 45776, 8.9, 864, 362, 733, 733, None, PCIE4, 142),
    "rtx-pro-6000": ("NVIDIA RTX PRO 6000 Blackwell Server", 98304, 12.0, 1597, 467, 935, 935, 1870, PCIE5, 188),
    "a100-40gb": ("NVIDIA A100 40GB SXM", 40960, 8.0, 1555, 312, None, 624, None, NVLINK3, 108),
    "a100-80gb": ("NVIDIA A100 80GB SXM", 81920, 8.0, 2039, 312, None, 624, None, NVLINK3, 108),
    "h100": ("NVIDIA H100 80GB SXM", 81920, 9.0, 3350, 989, 1979, 1979, None, NVLINK4, 132),
    "h200": ("NVIDIA H200 141GB SXM", 144384, 9.0, 4800, 989, 1979, 1979, None, NVLINK4, 132),
    "b200": ("NVIDIA B200 180GB", 183359, 10.0, 7700, 2250, 4500, 4500, 9000, NVLINK5, 148),
    "b300": ("NVIDIA B300 288GB", 275040, 10.3, 7750, 2250, 4500, 154, 14000, NVLINK5, 148),
}
REFUSED = {"v100": "vLLM no longer runs below compute capability 7.5"}
OTHERS = {
    "gaudi-hl-205": ("Intel Gaudi", "habana"), "qualcomm-ai100": ("Qualcomm Cloud AI 100", "qualcomm"),
    "radeon-pro-v520": ("AMD Radeon Pro V520", "amd"), "inferentia": ("AWS Inferentia", "aws"),
    "inferentia2": ("AWS Inferentia2", "aws"), "trainium": ("AWS Trainium", "aws"),
    "trainium2": ("AWS Trainium2", "aws"),
}  # fmt: skip
NAMES = {"rtx-pro-server-6000": "rtx-pro-6000"}
BY_FAMILY = {"p4d": "a100-40gb", "p4de": "a100-80gb"}
MIG = {
    "A100-SXM4-40GB": "a100-40gb", "A100-SXM4-80GB": "a100-80gb", "H100-80GB-HBM3": "h100", "H200-141GB": "h200",
    "B200-180GB": "b200", "RTX-PRO-6000-96GB": "rtx-pro-6000",
}  # fmt: skip
APIS = [  # model, parameters 10⁹, USD per million in and out
    ("Llama 3.1 8B", 8.0, 0.03, 0.05), ("gpt-oss-20b", 20.9, 0.07, 0.30), ("Qwen3 30B-A3B", 30.5, 0.10, 0.30),
    ("Qwen3 32B", 32.8, 0.10, 0.30), ("Llama 3.3 70B", 70.6, 0.20, 0.50), ("gpt-oss-120b", 116.8, 0.15, 0.60),
    ("MiniMax M2.5", 228.7, 0.30, 1.20), ("Qwen3 235B-A22B", 235.1, 0.20, 0.60), ("Llama 3.1 405B", 405.9, 1.00, 3.00),
    ("Qwen3.5 397B-A17B", 397.0, 0.60, 3.60), ("DeepSeek V3", 671.0, 0.27, 1.10), ("GLM 5", 744.0, 1.00, 3.20),
    ("Kimi K2", 1026.0, 0.60, 2.50),
]  # fmt: skip
INTEL = "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"
WIDE = INTEL.replace("24xlarge", "24xlarge 32xlarge")
AMD = "medium " + WIDE + " 48xlarge"
ARM = "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"
FLEX = "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"
OLD = "large xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge"
BURST = "small medium large xlarge 2xlarge"
BURST_GIB = {"small": 2, "medium": 4, "large": 8}
FAMILIES: dict[str, tuple[float, float, str]] = {
    # GiB of memory for a processor, USD an hour for both (half of a `large`), sizes; arm64 where the family says g
    "m5": (4, 0.048, INTEL), "m5a": (4, 0.043, INTEL), "m5d": (4, 0.0565, INTEL), "m5n": (4, 0.0595, INTEL),
    "m6i": (4, 0.048, WIDE), "m6a": (4, 0.0432, WIDE + " 48xlarge"), "m6id": (4, 0.059325, WIDE),
    "m6in": (4, 0.06963, WIDE), "m6g": (4, 0.0385, ARM), "m6gd": (4, 0.0452, ARM),
    "m7i": (4, 0.0504, INTEL + " 48xlarge"), "m7i-flex": (4, 0.04788, FLEX), "m7a": (4, 0.05796, AMD),
    "m7g": (4, 0.0408, ARM), "m7gd": (4, 0.0534, ARM),
    "m8i": (4, 0.05292, WIDE + " 48xlarge 96xlarge"), "m8i-flex": (4, 0.05027, FLEX), "m8a": (4, 0.06086, AMD),
    "m8g": (4, 0.04488, ARM + " 24xlarge 48xlarge"), "m8gd": (4, 0.05874, ARM + " 24xlarge 48xlarge"),
    "c5": (2, 0.0425, OLD), "c5a": (2, 0.0385, INTEL), "c5d": (2, 0.048, OLD), "c5n": (2.625, 0.054, OLD),
    "c6i": (2, 0.0425, WIDE), "c6a": (2, 0.03825, WIDE + " 48xlarge"), "c6id": (2, 0.0504, WIDE),
    "c6in": (2, 0.0567, WIDE), "c6g": (2, 0.034, ARM), "c6gd": (2, 0.0384, ARM), "c6gn": (2, 0.0432, ARM),
    "c7i": (2, 0.044625, INTEL + " 48xlarge"), "c7i-flex": (2, 0.042395, FLEX), "c7a": (2, 0.05132, AMD),
    "c7g": (2, 0.03625, ARM), "c7gd": (2, 0.04535, ARM), "c7gn": (2, 0.0624, ARM),
    "c8i": (2, 0.046855, WIDE + " 48xlarge 96xlarge"), "c8i-flex": (2, 0.04451, FLEX), "c8a": (2, 0.05389, AMD),
    "c8g": (2, 0.03988, ARM + " 24xlarge 48xlarge"), "c8gd": (2, 0.04989, ARM + " 24xlarge 48xlarge"),
    "r5": (8, 0.063, INTEL), "r5a": (8, 0.0565, INTEL), "r5d": (8, 0.072, INTEL), "r5n": (8, 0.0745, INTEL),
    "r6i": (8, 0.063, WIDE), "r6a": (8, 0.0567, WIDE + " 48xlarge"), "r6id": (8, 0.0756, WIDE),
    "r6in": (8, 0.08716, WIDE), "r6g": (8, 0.0504, ARM), "r6gd": (8, 0.0576, ARM),
    "r7i": (8, 0.06615, INTEL + " 48xlarge"), "r7a": (8, 0.076075, AMD), "r7g": (8, 0.05355, ARM),
    "r7gd": (8, 0.06805, ARM), "r7iz": (8, 0.093, FLEX + " 32xlarge"),
    "r8i": (8, 0.06946, WIDE + " 48xlarge 96xlarge"), "r8i-flex": (8, 0.06599, FLEX), "r8a": (8, 0.07988, AMD),
    "r8g": (8, 0.05891, ARM + " 24xlarge 48xlarge"), "r8gd": (8, 0.07362, ARM + " 24xlarge 48xlarge"),
    "i4i": (8, 0.0858, FLEX + " 24xlarge 32xlarge"), "x8g": (16, 0.0977, ARM + " 24xlarge 48xlarge"),
    "x2idn": (16, 0.1042, "16xlarge 24xlarge 32xlarge"), "x2iedn": (32, 0.2084, "xlarge 2xlarge 4xlarge 8xlarge "
    "16xlarge 24xlarge 32xlarge"),
    "t3": (4, 0.0416, BURST), "t3a": (4, 0.0376, BURST), "t4g": (4, 0.0336, BURST),
}  # fmt: skip
NVME_GB = {"m5d": 37.5, "c5d": 25, "r5d": 37.5, "i4i": 234, "x2idn": 29.7, "x2iedn": 29.7}
"""For a processor; of other families with local disks (`d` after the generation) 29.7."""
SOURCES = [
    "instance types: Karpenter's AWS provider v1.14.1 (Apache-2.0), July 2026, us-east-1",
    "MIG profiles: NVIDIA go-nvml v0.13.3 and gpu-operator v26.7.0 (Apache-2.0); RTX PRO 6000's memory from the names",
    "accelerators: data sheets of their makers; RTX PRO 6000's, B200's and B300's operations from aiconfigurator 0.12",
    "overheads: llm-d-planner 0.3.3 (Apache-2.0), measured with vLLM 0.19 on H100; defaults of vLLM 0.32",
    "families without accelerators: general knowledge, October 2026, us-east-1, not looked up",
]


def catalog(folder: Path) -> dict[str, Any]:
    """The whole catalogue."""
    with (folder / "instances.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        "date": "2026-07-31",
        "region": "us-east-1",
        "sources": SOURCES,
        "spot": {"low": 0.35, "high": 0.7, "note": "an assumption: a usual range; prices change by the hour and zone"},
        "overheads": _overheads(json.loads((folder / "vllm_memory_constants.json").read_text("utf-8"))),
        "accelerators": _accelerators(),
        "instances": {row["instance_type"]: _instance(row) for row in rows},
        "families": {name: _family(name, *figures) for name, figures in FAMILIES.items()},
        "mig": _mig(json.loads((folder / "mig_profiles.json").read_text("utf-8"))["gpus"]),
        "apis": _apis(),
    }


def _overheads(constants: dict[str, Any]) -> dict[str, Any]:
    base, outside = constants["activation_base_gib"], constants["non_torch_overhead_gib"]
    return {
        "memory_utilization": 0.92,
        "activation_gib": constants["activation_profiles"],
        "activation_dense_gib": base["dense"],
        "activation_moe_gib": base["moe"],
        "activation_multimodal_gib": base["multimodal"],
        "non_torch_gib": {"alone": outside["tp1_pp1"], "stage": outside["tp1_ppN"], "tensor": outside["tpN_pp1"]},
        "max_sequences": 256,
        "source": "llm-d-planner 0.3.3 on vLLM 0.19 and H100",
    }


def _accelerators() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (title, memory, capability, bandwidth, bf16, fp8, int8, fp4, link, units) in NVIDIA.items():
        tflops = {"bf16": bf16, "fp8": fp8, "int8": int8, "fp4": fp4}
        found[name] = {
            "title": title, "maker": "nvidia", "memory_mib": memory, "capability": capability,
            "bandwidth_gb_s": bandwidth, "tflops": {key: value for key, value in tflops.items() if value},
            "link": link[0], "link_gb_s": link[1], "multiprocessors": units, "source": SHEET.format(title),
        }  # fmt: skip
        if name in REFUSED:
            found[name]["refused"] = REFUSED[name]
    for name, (title, maker) in OTHERS.items():
        why = "nothing is planned but NVIDIA's GPUs: other makers' need builds of vLLM that are not modelled"
        found[name] = {"title": title, "maker": maker, "refused": why, "source": SOURCES[0]}
    return found


def _instance(row: dict[str, str]) -> dict[str, Any]:
    name = BY_FAMILY.get(row["family"]) or NAMES.get(row["accel"], row["accel"])
    found: dict[str, Any] = {"accelerator": name, "gpus": int(row["accel_count"]) or 1}
    if row["accel_count"] == "0":
        found["share"] = int(row["accel_mem_mib_each"]) / NVIDIA[name][1]
    if row["arch"] != "amd64":
        found["arch"] = row["arch"]
    found |= {"cpu": float(row["alloc_cpu"]), "memory_mib": int(row["alloc_mem_mib"])}
    found |= {
        key: int(row[source]) for key, source in (("efa", "efa"), ("nvme_gb", "local_nvme_gb")) if int(row[source])
    }
    found["network_mbps"] = int(row["net_mbps"])
    if row["od_usd_hr_us_east_1"]:
        found["usd_hour"] = float(row["od_usd_hr_us_east_1"])
    return found | {"vcpus": int(row["vcpu"]), "installed_mib": int(row["mem_mib"]), "pods": int(row["max_pods"])}


def _family(name: str, memory: float, price: float, sizes: str) -> dict[str, Any]:
    found: dict[str, Any] = {"arch": "arm64"} if re.match(r"[a-z]+\d+g", name) else {}
    found |= {"gib_per_vcpu": memory, "usd_vcpu_hour": price}
    if name in NVME_GB or re.match(r"[a-z]+\d+[a-z]?d", name):
        found["nvme_gb_per_vcpu"] = NVME_GB.get(name, 29.7)
    found["sizes"] = sizes.split()
    if name.startswith("t"):
        found["memory_gib"] = BURST_GIB
        found["usd_hour"] = {size: round(price * gib / 4, 5) for size, gib in BURST_GIB.items()}
    return found


def _mig(gpus: dict[str, Any]) -> dict[str, Any]:
    return {
        MIG[title]: {
            name: _slice(MIG[title], name, *figures)
            for name, figures in gpu["profiles"].items()
            if not name.endswith("+me")
        }
        for title, gpu in gpus.items()
    }


def _slice(gpu: str, name: str, count: int, units: int | None, memory: int | None) -> dict[str, Any]:
    """Where the table knows no memory and multiprocessors, the profile's name does: `2g.48gb` of four.

    The table's memory is rounded for the newest GPUs; a slice is never more than its share.
    """
    compute = round(units / NVIDIA[gpu][9], 4) if units else int(name[0]) / 4
    size = memory or int(name.split(".")[1][:-2]) * 1024
    return {"count": count, "memory_mib": min(size, NVIDIA[gpu][1] // count), "compute": compute}


def _apis() -> dict[str, Any]:
    names = ("model", "parameters_b", "input", "output")
    return {
        "date": "2026-11-20",
        "source": "LiteLLM 1.109's price map (MIT): of the hosts that offer a model, a usual one",
        "prices": [dict(zip(names, row, strict=True)) for row in APIS],
    }


def lines(value: dict[str, Any], depth: int = 0, above: str = "") -> list[str]:
    """YAML with one line for each thing: readable, and quick to compare."""
    told: list[str] = []
    for key, each in value.items():
        flat = not isinstance(each, dict) or above in ("accelerators", "instances", "families") or depth == 2
        if isinstance(each, list) and each and isinstance(each[0], dict | str) and depth < 2:
            told += [
                f"{'  ' * depth}{key}:",
                *(f"{'  ' * depth}  - {json.dumps(item, ensure_ascii=False)}" for item in each),
            ]
        elif flat:
            told.append(f"{'  ' * depth}{key}: {json.dumps(each, ensure_ascii=False)}")
        else:
            told += [f"{'  ' * depth}{key}:", *lines(each, depth + 1, key)]
    return told


def render(folder: Path) -> str:
    """The file's text."""
    head = (
        "# What can be rented, as figures; units stand in the keys' names. Written by `python -m tests.catalog FOLDER`."
    )
    return head + "\n" + "\n".join(lines(catalog(folder))) + "\n"


if __name__ == "__main__":
    OUT.write_text(render(Path(sys.argv[1])), "utf-8")
    print("wrote", OUT.relative_to(ROOT))
