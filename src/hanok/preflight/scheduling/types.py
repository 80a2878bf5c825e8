"""Instance types as schedulers see them: labels, and what pods may ask of one.

Labels are those of Karpenter's AWS provider v1.14; EKS Auto Mode has the same below `eks.amazonaws.com/`. What the
catalogue does not know of a type (zones, EBS bandwidth) refuses nobody.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cached_property

from hanok.gpu import GIB
from hanok.gpu.catalog import Catalog, Instance
from hanok.gpu.hosts import all_instances
from hanok.preflight.quantities import CPU, DISK, MEMORY, PODS, Amounts
from hanok.preflight.scheduling.choices import Choice, Choices
from hanok.preflight.workloads import GPU

TYPE, ARCH, OS = "node.kubernetes.io/instance-type", "kubernetes.io/arch", "kubernetes.io/os"
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
CAPACITY, NODEPOOL, HOSTNAME = "karpenter.sh/capacity-type", "karpenter.sh/nodepool", "kubernetes.io/hostname"
KARPENTER, AUTO = "karpenter.k8s.aws/instance-", "eks.amazonaws.com/instance-"
_TOLD = (
    "family", "category", "generation", "size", "cpu", "cpu-manufacturer", "memory", "hypervisor", "gpu-name",
    "gpu-count", "gpu-manufacturer", "gpu-memory", "local-nvme", "accelerator-name", "accelerator-manufacturer",
    "accelerator-count",
)  # fmt: skip
_UNTOLD = (
    "encryption-in-transit-supported", "network-bandwidth", "ebs-bandwidth", "cpu-sustained-clock-speed-mhz",
    "capability-flex", "tenancy",
)  # fmt: skip
KNOWN = frozenset({
    TYPE, ARCH, OS, ZONE, REGION, CAPACITY, NODEPOOL, "node.kubernetes.io/windows-build", "topology.k8s.aws/zone-id",
    "topology.k8s.aws/network-node-layer-1", "topology.k8s.aws/network-node-layer-2",
    "topology.k8s.aws/network-node-layer-3", "eks.amazonaws.com/compute-type", "eks.amazonaws.com/nodeclass",
    "karpenter.k8s.aws/ec2nodeclass", "karpenter.k8s.aws/capacity-reservation-id",
    "karpenter.k8s.aws/capacity-reservation-type",
    *(f"{KARPENTER}{each}" for each in (*_TOLD, *_UNTOLD)), *(f"{AUTO}{each}" for each in (*_TOLD, *_UNTOLD)),
})  # fmt: skip
"""Labels that pods may select although no pool declares them."""
DECIDED = frozenset({TYPE, ARCH, OS, *(f"{KARPENTER}{each}" for each in _TOLD), *(f"{AUTO}{each}" for each in _TOLD)})
"""Labels whose values the catalogue knows for each type."""
_SPELLED = {"a100-40gb": "a100", "a100-80gb": "a100", "rtx-pro-6000": "rtx-pro-server-6000"}
"""Names of GPUs as EC2 writes them, where the catalogue says more."""
NEURON_CORES = {"inferentia": 4, "inferentia2": 2, "trainium": 2, "trainium2": 8}
"""Cores of one device: AWS Neuron documentation, general knowledge."""
_NAME = re.compile(r"(?P<family>(?P<category>[a-z]+?)(?P<generation>\d+)[a-z0-9-]*)\.(?P<size>[a-z0-9-]+)")


class Types:
    """Every instance type of a catalogue: labels by name, and which names a choice leaves."""

    def __init__(self, catalog: Catalog) -> None:
        self.instances = all_instances(catalog)
        self.makers = {name: each.maker for name, each in catalog.accelerators.items()}
        self.memory = {name: each.memory_mib for name, each in catalog.accelerators.items()}
        self.slices = {name: {each: its.count for each, its in found.items()} for name, found in catalog.mig.items()}
        """Slices on one GPU by profile, by accelerator."""
        self._left: dict[tuple[str, Choice], frozenset[str]] = {}
        self._offers: dict[tuple[str, int | None, int | None], Amounts] = {}

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(self.instances)

    @cached_property
    def labels(self) -> Mapping[str, Mapping[str, str]]:
        return {name: self._labels(name, each) for name, each in self.instances.items()}

    def _labels(self, name: str, each: Instance) -> dict[str, str]:
        told = self._figures(name, each)
        found = {TYPE: name, ARCH: each.arch, OS: "linux"}
        for prefix in (KARPENTER, AUTO):
            found |= {f"{prefix}{key}": value for key, value in told.items()}
        return found

    def _figures(self, name: str, each: Instance) -> dict[str, str]:
        parts = _NAME.fullmatch(name)
        found = dict(parts.groupdict()) if parts else {}
        found |= {"cpu": str(vcpus(each)), "memory": str(each.installed_mib or each.memory_mib)}
        found |= {
            "hypervisor": "" if name.endswith("metal") else "nitro",
            "cpu-manufacturer": "" if each.accelerator else _cpu_maker(name),
        }
        if each.nvme_gb:
            found["local-nvme"] = str(each.nvme_gb)
        if each.accelerator:
            found |= self._accelerator(each)
        return found

    def _accelerator(self, each: Instance) -> dict[str, str]:
        maker, name = self.makers[each.accelerator], _SPELLED.get(each.accelerator, each.accelerator)
        if maker in ("aws", "qualcomm"):
            return {"accelerator-name": name, "accelerator-manufacturer": maker, "accelerator-count": str(each.gpus)}
        memory = (self.memory[each.accelerator] or 0) * each.share
        count = each.gpus if each.share == 1 else 0
        told = {"gpu-name": name, "gpu-manufacturer": maker, "gpu-count": str(count)}
        return told | ({"gpu-memory": str(int(memory))} if memory else {})

    def left_by(self, key: str, choice: Choice) -> frozenset[str]:
        """The types that a choice about one label leaves."""
        if key not in DECIDED:
            return self.names
        found = self._left.get((key, choice))
        if found is None:
            labels = self.labels.items()
            found = frozenset(name for name, its in labels if _leaves(choice, its.get(key)))
            self._left[key, choice] = found
        return found

    def left(self, choices: Choices) -> frozenset[str]:
        """The types that all choices leave."""
        found = self.names
        for key, each in choices.items():
            found = found & self.left_by(key, each)
        return found

    def offers(self, name: str, *, disk: int | None, pods: int | None) -> Amounts:
        """What pods may ask of one node, in all; `disk` in bytes, None where it is not known."""
        key = (name, disk, pods)
        if key not in self._offers:
            self._offers[key] = offers(self.instances[name], self.makers, disk=disk, pods=pods)
        return self._offers[key]


def _leaves(choice: Choice, value: str | None) -> bool:
    if value is None:
        return choice.takes_absent
    return value == "" or choice.has(value)


def _cpu_maker(name: str) -> str:
    found = re.match(r"[a-z]+\d+([a-z]?)", name)
    return {"a": "amd", "g": "aws"}.get(found[1] if found else "", "intel")


def vcpus(each: Instance) -> int:
    """Processors that an instance is sold with."""
    return each.vcpus or math.ceil(each.cpu)


def offers(each: Instance, makers: Mapping[str, str], *, disk: int | None, pods: int | None) -> Amounts:
    """What pods may ask of a type: all of it is counted as the scheduler counts."""
    found = {CPU: int(each.cpu * 1000 + 1e-6), MEMORY: each.memory_mib << 20}
    found[PODS] = pods or each.pods or 110
    if disk is not None:
        found[DISK] = disk
    if each.efa:
        found["vpc.amazonaws.com/efa"] = each.efa
    whole = each.gpus if each.share == 1 else 0
    match makers.get(each.accelerator, ""):
        case "nvidia":
            found[GPU] = whole
        case "amd":
            found["amd.com/gpu"] = whole
        case "habana":
            found["habana.ai/gaudi"] = whole
        case "aws":
            found["aws.amazon.com/neuron"] = whole
            found["aws.amazon.com/neurondevice"] = whole
            found["aws.amazon.com/neuroncore"] = whole * NEURON_CORES.get(each.accelerator, 2)
        case "qualcomm":
            found["qualcomm.com/qaic"] = whole
        case _:
            pass
    return {name: value for name, value in found.items() if value}


def disk_left(size: int) -> int:
    """Bytes that pods may ask of a node's disk: the kubelet keeps 1 GiB, and evicts at a tenth (Karpenter v1.14)."""
    return max(0, size - GIB - math.ceil(size * 0.1))
