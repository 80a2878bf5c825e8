"""Where an engine's weights come from and are kept, how fast that is, and how much space there is.

A model is looked for in the volume that is mounted where it lies: a path's own, or the cache of the Hugging Face hub.
Without one it goes to the node's own disk. Speeds are two: what is certainly not exceeded, and what is usual.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from hanok.gpu.loading import FASTEST, HUB_FASTEST, HUB_USUAL, USUAL
from hanok.preflight.case import Case
from hanok.preflight.engines import Engine
from hanok.preflight.fit.needs import EngineFit
from hanok.preflight.manifests import Body, Manifest, at, mapping_at, mappings_at, text_at
from hanok.preflight.quantities import quantity
from hanok.preflight.workloads import Path

MIB = 1024**2
GP3_MIB_S = 125
"""MiB a second of a gp3 volume that asks for no more (AWS, EBS volume types)."""
CACHES = ("/root/.cache/huggingface", "/root/.cache", "/root", "/home/vllm/.cache/huggingface")
CACHE_VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE")


@dataclass(frozen=True, kw_only=True)
class Store:
    """What weights are read from. Speeds in bytes a second."""

    title: str
    fastest: float
    usual: float


@dataclass(frozen=True, kw_only=True)
class Mounted:
    """A volume of a pod where an engine has mounted it. `path` leads to it in the manifest."""

    volume: Body
    mount: str
    path: Path


def store_of(found: EngineFit, case: Case) -> Store:
    """Where this engine's weights come from."""
    engine = found.engine
    mounted = cache_of(engine)
    claim = claim_of(mounted, engine, case) if mounted else None
    if claim is not None:
        return _of_class(_class_of(claim, case))
    if mounted is None or at(mounted.volume, "emptyDir") is not None:
        if engine.model.startswith("/"):
            return Store(title="the image or the node", fastest=FASTEST, usual=USUAL)
        network = found.first.seat.host.network_mbps * 1e6 / 8 if found.first and not found.assumed else HUB_FASTEST
        return Store(title="the hub", fastest=min(HUB_FASTEST, network), usual=min(HUB_USUAL, network))
    return Store(title=f"the volume {text_at(mounted.volume, 'name')}", fastest=FASTEST, usual=USUAL)


def _of_class(storage: Manifest | None) -> Store:
    """The speed of a volume by its class; of EBS the throughput that is asked for."""
    provisioner = text_at(storage.body, "provisioner") if storage else ""
    if storage is None or "ebs" not in provisioner:
        return Store(title="its volume", fastest=FASTEST, usual=USUAL)
    parameters = mapping_at(storage.body, "parameters")
    if text_at(parameters, "type") not in ("", "gp3"):
        return Store(title="its EBS volume", fastest=FASTEST, usual=USUAL)
    asked = quantity(at(parameters, "throughput")) or Decimal(GP3_MIB_S)
    speed = float(asked) * MIB
    return Store(title=f"a gp3 volume of {asked:g} MiB/s", fastest=speed, usual=speed)


def cache_of(engine: Engine) -> Mounted | None:
    """The volume where the weights lie or will be kept; None where that is the container's own disk."""
    wanted = [engine.model] if engine.model.startswith("/") else list(_caches(engine))
    found = [each for each in mounts(engine) if any(_is_in(path, each.mount) for path in wanted[:1])]
    found = found or [each for each in mounts(engine) if any(_is_in(path, each.mount) for path in wanted)]
    return max(found, key=lambda each: len(each.mount), default=None)


def _caches(engine: Engine) -> Iterator[str]:
    """Where downloads go: as given, else where the hub's library keeps them."""
    given = engine.given.get("download-dir")
    if given:
        yield given
    else:
        yield from (value for name in CACHE_VARIABLES if (value := engine.container.env.get(name)))
        yield from CACHES[:1]


def _is_in(path: str, folder: str) -> bool:
    return folder != "" and (path.rstrip("/") + "/").startswith(folder.rstrip("/") + "/")


def mounts(engine: Engine) -> Iterator[Mounted]:
    """The volumes that the engine's container mounts."""
    listed = mappings_at(engine.workload.spec, "volumes")
    volumes = {text_at(each, "name"): (index, each) for index, each in enumerate(listed)}
    for mount in mappings_at(engine.container.body, "volumeMounts"):
        index, volume = volumes.get(text_at(mount, "name"), (0, None))
        if volume is not None:
            path = (*engine.workload.path, "spec", "volumes", index)
            yield Mounted(volume=volume, mount=text_at(mount, "mountPath"), path=path)


def claim_of(mounted: Mounted, engine: Engine, case: Case) -> Manifest | None:
    """The claim behind a volume, where it is here."""
    name = text_at(mounted.volume, "persistentVolumeClaim", "claimName")
    return case.cluster.find("PersistentVolumeClaim", name, engine.workload.namespace) if name else None


def _class_of(claim: Manifest, case: Case) -> Manifest | None:
    return case.cluster.find("StorageClass", text_at(claim.body, "spec", "storageClassName"))
