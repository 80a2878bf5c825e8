"""Memory and disks beside the GPU: what processes share, the pod's limit, space for weights."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from hanok.gpu import GIB
from hanok.gpu.machines import HOST_MIB, HOST_MIB_PER_GPU
from hanok.preflight.case import Case
from hanok.preflight.engines import Engine
from hanok.preflight.findings import Finding, Rule, Severity
from hanok.preflight.fit.needs import EngineFit
from hanok.preflight.fit.storage import Mounted, cache_of, claim_of, mounts
from hanok.preflight.manifests import Manifest, at, mapping_at, mappings_at, text_at
from hanok.preflight.quantities import DISK, MEMORY, quantity

NO_SHM = Rule(
    "HK440", "warning", "GPUs that work together without shared memory", "mount a Memory emptyDir at /dev/shm"
)
LITTLE_MEMORY = Rule("HK441", "warning", "a memory limit that the engine can exceed", "raise the limit")
LITTLE_DISK = Rule("HK442", "error", "a volume too small for the weights", "make it larger than the weights")
LITTLE_ROOT = Rule(
    "HK443", "warning", "a node's disk too small for image and weights", "raise volumeSize in blockDeviceMappings"
)

SHM = "/dev/shm"  # noqa: S108 - the pod's, not ours
MIB = 1024**2
SYSTEM_GIB, IMAGE_GIB = 8, 25
"""Of a node's disk: the system and its images; vLLM's own, unpacked beside its layers (10 GB to pull). Judgements."""
ROOT_DEFAULT_GIB = 20
"""What Karpenter gives AL2023 where nothing is said (Karpenter's AWS documentation of blockDeviceMappings)."""


def check_shared_memory(case: Case) -> Iterator[Finding]:
    for engine in case.engines:
        if engine.tensor > 1 and shared(engine) is None and not at(engine.workload.spec, "hostIPC"):
            message = f"{engine.tensor} processes exchange data in /dev/shm, which has 64 MiB unless it is mounted"
            yield NO_SHM.on(engine.workload.manifest, *engine.path("tensor-parallel-size"), message=message)


def shared(engine: Engine) -> Mounted | None:
    """What is mounted as shared memory, if anything is."""
    return next((each for each in mounts(engine) if each.mount.rstrip("/") == SHM), None)


def check_memory_limit(case: Case) -> Iterator[Finding]:
    for engine in case.engines:
        limit = engine.container.limits.get(MEMORY)
        if limit is None:
            continue
        parts = _host_memory(engine)
        total = sum(parts.values())
        if total > limit:
            told = " + ".join(f"{size / GIB:.0f} GiB {what}" for what, size in parts.items())
            message = f"{told} may be used, and the limit is {limit / GIB:.4g} GiB: what is over it is killed"
            path = (*engine.container.path, "resources", "limits", "memory")
            yield LITTLE_MEMORY.on(engine.workload.manifest, *path, message=message, severity=_gravity(parts, limit))


def _host_memory(engine: Engine) -> dict[str, float]:
    """Bytes of the host's memory that the container may come to hold, by what for."""
    found: dict[str, float] = {"processes": (HOST_MIB + HOST_MIB_PER_GPU * engine.tensor * engine.pipeline) * MIB}
    mounted = shared(engine)
    if mounted and text_at(mounted.volume, "emptyDir", "medium") == "Memory":
        found["shared memory"] = float(quantity(at(mounted.volume, "emptyDir", "sizeLimit")) or 0)
    if moved := engine.number("kv-offloading-size", 0.0) * GIB:
        found["offloaded cache"] = moved
    if moved := engine.number("cpu-offload-gb", 0.0) * GIB * engine.tensor * engine.pipeline:
        found["offloaded weights"] = moved
    return {what: size for what, size in found.items() if size}


def _gravity(parts: dict[str, float], limit: float) -> Severity:
    """An error where what is certainly taken is too much."""
    taken = sum(size for what, size in parts.items() if what.startswith("offloaded"))
    return "error" if taken > limit else "warning"


def check_disks(case: Case) -> Iterator[Finding]:
    for found in case.fits:
        if found.anatomy and not found.engine.model.startswith("/"):
            yield from _disk(found, case)


def _disk(found: EngineFit, case: Case) -> Iterator[Finding]:
    """The volume that the weights are downloaded to, or the container's own share of the node's disk."""
    engine, mounted = found.engine, cache_of(found.engine)
    claim = claim_of(mounted, engine, case) if mounted else None
    if claim:
        size = quantity(at(claim.body, "spec", "resources", "requests", "storage"))
        yield from _too_small(found, size, claim, ("spec", "resources", "requests", "storage"), f"{claim.name} has")
    elif mounted and text_at(mounted.volume, "emptyDir", "medium") != "Memory":
        size = quantity(at(mounted.volume, "emptyDir", "sizeLimit"))
        path = (*mounted.path, "emptyDir", "sizeLimit")
        what = f"the volume {text_at(mounted.volume, 'name')} has"
        yield from _too_small(found, size, engine.workload.manifest, path, what)
    elif not mounted:
        size = engine.container.limits.get(DISK)
        path = (*engine.container.path, "resources", "limits", DISK)
        yield from _too_small(found, size, engine.workload.manifest, path, "the container's disk is limited to")


def _too_small(
    found: EngineFit, size: Decimal | int | None, manifest: Manifest, path: tuple[str | int, ...], what: str
) -> Iterator[Finding]:
    if size is not None and size < found.weights_bytes:
        message = f"{found.engine.model} is {found.weights_bytes / GIB:.0f} GiB, and {what} {float(size) / GIB:.4g} GiB"
        yield LITTLE_DISK.on(manifest, *path, message=message)


def check_root_disks(case: Case) -> Iterator[Finding]:
    told: set[tuple[str, str]] = set()
    for found in case.fits:
        for node_class in _classes(found, case):
            key = (node_class.name, found.engine.model)
            if key not in told:
                told.add(key)
                yield from _root(found, node_class)


def _classes(found: EngineFit, case: Case) -> list[Manifest]:
    """The node classes of the pools that the engine may be put on; where none is known, of all pools."""
    pools = {each.seat.manifest for each in found.fittings if each.seat.manifest} or {*case.cluster.of("NodePool")}
    names = {text_at(each.body, "spec", "template", "spec", "nodeClassRef", "name") for each in pools}
    return [each for each in case.cluster.of("EC2NodeClass") if each.name in names]


def _root(found: EngineFit, node_class: Manifest) -> Iterator[Finding]:
    spec = mapping_at(node_class.body, "spec")
    if text_at(spec, "instanceStorePolicy") == "RAID0":
        return
    sizes = [quantity(at(each, "ebs", "volumeSize")) for each in mappings_at(spec, "blockDeviceMappings")]
    given = max((float(each) for each in sizes if each is not None), default=ROOT_DEFAULT_GIB * GIB)
    needed = {"system": SYSTEM_GIB * GIB, "vLLM's image": IMAGE_GIB * GIB, **_kept_there(found)}
    if sum(needed.values()) > given:
        parts = " + ".join(f"{size / GIB:.0f} GiB {what}" for what, size in needed.items())
        whose = "has" if sizes else "has by default"
        message = f"a node {whose} {given / GIB:.4g} GiB of disk; {found.engine.title} needs {parts}"
        path = ("spec", "blockDeviceMappings") if sizes else ("spec",)
        yield LITTLE_ROOT.on(node_class, *path, message=message)


def _kept_there(found: EngineFit) -> dict[str, float]:
    """The weights, where they lie on the node's own disk."""
    mounted = cache_of(found.engine)
    elsewhere = mounted and (
        at(mounted.volume, "emptyDir") is None or text_at(mounted.volume, "emptyDir", "medium") == "Memory"
    )
    if elsewhere or not found.weights_bytes or found.engine.model.startswith("/"):
        return {}
    return {"weights": found.weights_bytes}


CHECKS = (check_shared_memory, check_memory_limit, check_disks, check_root_disks)
