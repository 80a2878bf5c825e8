"""How long `hanok preflight` takes: `python -m bench.preflight [--json]`.

Four trees are written into a temporary folder: one of 150 objects, as a platform renders it, one of 5,000 pods over 200
NodePools, one of 1,500 engines on 2,000 nodes, and one ConfigMap that names 100,000 hosts. Each is looked at by the
whole command, its start-up included; of five runs the median counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

RUNS = 5
OBJECTS, PODS, POOLS = 150, 5_000, 200
NODES, ENGINES, HOSTS = 2_000, 1_500, 100_000
FAMILIES = ["g5", "g6", "g6e", "p4d", "p5", "g7e", "g4dn", "inf2"]
ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]


def pool(number: int, *, gpu: bool) -> dict[str, Any]:
    """A NodePool of its own label; every other one has GPUs and a taint."""
    requirements = [{"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand", "spot"]}]
    if gpu:
        family = FAMILIES[number % len(FAMILIES)]
        requirements += [{"key": "karpenter.k8s.aws/instance-family", "operator": "In", "values": [family]}]
    else:
        requirements += [
            {"key": "karpenter.k8s.aws/instance-category", "operator": "In", "values": ["c", "m", "r"]},
            {"key": "karpenter.k8s.aws/instance-generation", "operator": "Gt", "values": ["4"]},
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [ZONES[number % 3]]},
        ]
    spec: dict[str, Any] = {
        "requirements": requirements,
        "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
    }
    if gpu:
        spec["taints"] = [{"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}]
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": f"pool-{number}"},
        "spec": {
            "template": {"metadata": {"labels": {"team": f"team-{number % 50}"}}, "spec": spec},
            "limits": {"cpu": 20_000},
        },
    }


def pod(number: int, *, gpu: bool) -> dict[str, Any]:
    """A Deployment of one pod, no two alike in name, some hundreds alike in what they ask for."""
    requests: dict[str, Any] = {"cpu": f"{100 + 50 * (number % 40)}m", "memory": f"{256 + 128 * (number % 25)}Mi"}
    spec: dict[str, Any] = {"containers": [{"name": "main", "image": "registry.example/app:1.0"}]}
    if number % 3 == 0:
        spec["nodeSelector"] = {"team": f"team-{(2 * (number % 25)) + (0 if gpu else 1)}"}
    if gpu:
        requests["nvidia.com/gpu"] = 1
        spec["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists"}]
        spec["containers"][0]["resources"] = {"requests": requests, "limits": {"nvidia.com/gpu": 1}}
    else:
        spec["containers"][0]["resources"] = {"requests": requests}
    labels = {"app": f"app-{number}"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"app-{number}", "namespace": f"team-{number % 50}"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def service(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"app-{number}", "namespace": f"team-{number % 50}"},
        "spec": {"selector": {"app": f"app-{number}"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def tree(folder: Path, *, pods: int, pools: int) -> None:
    """Writes a tree of pools and pods."""
    objects = [pool(number, gpu=number % 2 == 0) for number in range(pools)]
    objects += [pod(number, gpu=number % 10 == 0) for number in range(pods)]
    write(folder, objects)


def write(folder: Path, objects: list[dict[str, Any]]) -> None:
    """A file for each hundred objects."""
    for start in range(0, len(objects), 100):
        text = "\n---\n".join(block(each) for each in objects[start : start + 100])
        (folder / f"{start:06}.yaml").write_text(text, "utf-8")


def node(number: int) -> dict[str, Any]:
    """A node that is there, as its kubelet tells of it."""
    labels = {
        "kubernetes.io/hostname": f"node-{number}",
        "node.kubernetes.io/instance-type": "g6e.12xlarge",
        "topology.kubernetes.io/zone": ZONES[number % 3],
    }
    room = {"cpu": "47", "memory": "370Gi", "nvidia.com/gpu": "4", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"node-{number}", "labels": labels},
        "status": {"allocatable": room, "capacity": room},
    }


def engine(number: int) -> dict[str, Any]:
    """A vLLM of its own name; all ask for the same."""
    made = pod(number, gpu=False)
    container = made["spec"]["template"]["spec"]["containers"][0]
    amounts = {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": 1}
    container |= {
        "image": "vllm/vllm-openai:v0.11.0",
        "args": ["--model=Qwen/Qwen3-8B", "--max-model-len=8192", f"--served-model-name=model-{number}"],
        "resources": {"requests": amounts, "limits": {"nvidia.com/gpu": 1}},
    }
    made["spec"]["template"]["spec"] = {"containers": [container]}
    return made


def hosts(folder: Path) -> None:
    """A ConfigMap that names Services, of which there is one."""
    text = "\n".join(f"http://svc-{number}.team-0.svc:8080/v1" for number in range(HOSTS))
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hosts", "namespace": "team-0"}}
    objects = [{**config, "data": {"hosts": text}}, pod(0, gpu=False), service(0)]
    (folder / "all.yaml").write_text("\n---\n".join(json.dumps(each) for each in objects), "utf-8")


def small(folder: Path) -> None:
    """A tree of 150 objects: pools, and pods with their services."""
    objects = [pool(number, gpu=number % 2 == 0) for number in range(10)]
    for number in range((OBJECTS - len(objects)) // 2):
        objects += [pod(number, gpu=number % 10 == 0), service(number)]
    for number, each in enumerate(objects):
        (folder / f"{number:03}.yaml").write_text(block(each), "utf-8")


def block(value: dict[str, Any]) -> str:
    """YAML in blocks, as people and tools write it."""
    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(value, Dumper=dumper, sort_keys=False))


def seconds(folder: Path) -> float:
    """The median of the runs."""
    taken: list[float] = []
    for _ in range(RUNS):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "hanok", "preflight", str(folder), "--json"], capture_output=True, check=False
        )
        taken.append(time.perf_counter() - started)
        if done.returncode == 2:
            raise SystemExit(done.stderr.decode())
    return statistics.median(taken)


def measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        few, many, there, named = (Path(name) / each for each in ("few", "many", "there", "named"))
        for each in (few, many, there, named):
            each.mkdir()
        small(few)
        tree(many, pods=PODS, pools=POOLS)
        write(there, [*map(node, range(NODES)), *map(engine, range(ENGINES))])
        hosts(named)
        keys = {"tree_150_s": few, "pods_5000_s": many, "nodes_2000_s": there, "hosts_100000_s": named}
        return {key: round(seconds(folder), 2) for key, folder in keys.items()}


def main() -> None:
    """Measures, and prints a line for each figure, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure()
    if options.json:
        print(json.dumps(found))
        return
    print(f"a tree of {OBJECTS} objects       {found['tree_150_s']:.2f} s")
    print(f"{PODS:,} pods, {POOLS} NodePools  {found['pods_5000_s']:.2f} s")
    print(f"{ENGINES:,} engines, {NODES:,} nodes  {found['nodes_2000_s']:.2f} s")
    print(f"{HOSTS:,} hosts in a ConfigMap {found['hosts_100000_s']:.2f} s")


if __name__ == "__main__":
    main()
