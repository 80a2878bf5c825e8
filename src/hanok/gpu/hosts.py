"""Instance types without accelerators: reckoned, not tabled, since a family's sizes differ in nothing but their count.

What pods may ask for is less than what is sold: the hypervisor, the kubelet and the system keep their parts. The
formulas are those of Karpenter's AWS provider v1.14 (`VM_MEMORY_OVERHEAD_PERCENT`, `kubeReservedResources`, eviction at
100 MiB), and give the catalogue's own figures of accelerated types.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from hanok.gpu.catalog import Catalog, Family, Instance

VM_OVERHEAD = 0.075
"""Share of the memory that the hypervisor keeps, as Karpenter assumes unless it is told otherwise."""
ARM_MIB = 64
"""What the kernel of arm64 keeps for devices before anything else."""
EVICTION_MIB, RESERVED_MIB, RESERVED_MIB_PER_POD = 100, 255, 11
VCPUS: Mapping[str, int] = {"medium": 1, "large": 2, "xlarge": 4}
"""By size; `9xlarge` is nine times `xlarge`."""
BURSTABLE_VCPUS = 2
"""Of sizes up to `large` in the families t3, t3a and t4g."""
PODS: Mapping[int, int] = {1: 8, 2: 29, 4: 58, 8: 58, 12: 58, 16: 234, 24: 234, 32: 234, 36: 234, 48: 234, 64: 737}
"""Pods that the network takes, by processors; 737 above. General knowledge of EC2's interfaces, October 2026."""
BURSTABLE_PODS: Mapping[str, int] = {"small": 11, "medium": 17, "large": 35, "xlarge": 58, "2xlarge": 58}
NETWORK_MBPS_PER_VCPU = 390
"""A rule of thumb; nothing is decided by it."""


def hosts(catalog: Catalog) -> dict[str, Instance]:
    """Every instance type of the catalogue's families, by name."""
    return {name: instance for family, its in catalog.families.items() for name, instance in _sizes(family, its)}


def all_instances(catalog: Catalog) -> dict[str, Instance]:
    """Every instance type that the catalogue knows, those with accelerators first."""
    return {**catalog.instances, **hosts(catalog)}


def _sizes(family: str, its: Family) -> Iterator[tuple[str, Instance]]:
    for size in its.sizes:
        burstable = bool(its.memory_gib)
        vcpus = BURSTABLE_VCPUS if size in its.memory_gib else vcpus_of(size)
        installed = int(its.memory_gib.get(size, vcpus * its.gib_per_vcpu) * 1024)
        pods = BURSTABLE_PODS[size] if burstable else PODS.get(vcpus, 737)
        yield (
            f"{family}.{size}",
            Instance(
                accelerator="", gpus=0, arch=its.arch,
                cpu=allocatable_cpu(vcpus), memory_mib=allocatable_mib(installed, pods, its.arch),
                nvme_gb=int(vcpus * its.nvme_gb_per_vcpu), network_mbps=vcpus * NETWORK_MBPS_PER_VCPU,
                usd_hour=its.usd_hour.get(size, round(vcpus * its.usd_vcpu_hour, 5)),
                vcpus=vcpus, installed_mib=installed, pods=pods,
            ),
        )  # fmt: skip


def vcpus_of(size: str) -> int:
    """Processors of a size in a family that is not burstable."""
    return VCPUS[size] if size in VCPUS else 4 * int(size.removesuffix("xlarge"))


def allocatable_cpu(vcpus: int) -> float:
    """Processors that pods may ask for: the kubelet keeps 6 % of the first, 1 % of the second, 0.5 % of two more,
    0.25 % of the others."""
    kept = 0.06 + 0.01 * (vcpus > 1) + 0.005 * max(0, min(vcpus, 4) - 2) + 0.0025 * max(0, vcpus - 4)
    return round(vcpus - kept, 4)


def allocatable_mib(installed_mib: int, pods: int, arch: str) -> int:
    """Memory that pods may ask for, MiB, where so much is installed and the network takes so many pods."""
    installed_mib -= ARM_MIB if arch == "arm64" else 0
    left = installed_mib - math.ceil(installed_mib * VM_OVERHEAD)
    return left - (RESERVED_MIB_PER_POD * pods + RESERVED_MIB) - EVICTION_MIB
