"""What samples of the DCGM exporter say of GPUs. Pure.

The exporter writes one line for each GPU or MIG slice and metric; with Kubernetes one for each pod on it, too. Lines of
the same GPU or slice are put together. A field that DCGM cannot tell has a value near the greatest of its type
("blank"), so what is beyond any GPU is taken for unknown.

Metrics: https://docs.nvidia.com/datacenter/dcgm/latest/dcgm-api/dcgm-api-field-ids.html; labels: dcgm-exporter 4.6
(`internal/pkg/rendermetrics`). Prometheus puts its own `pod`, `namespace` and `container` (the exporter's) in the place
of the exporter's labels and calls those `exported_…`, unless it is told `honorLabels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from hanok.gpu.monitor.readings import Pod, Reading, Slice
from hanok.gpu.monitor.samples import Sample

SLOWDOWNS = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
"""Bits of NVML's clock event reasons that say that something is wrong. Drawing as much power as is allowed (0x04) is
usual under load: the clock itself tells whether that matters."""


class _Field(NamedTuple):
    name: str
    most: float
    scale: float = 1.0


FIELDS = {
    "DCGM_FI_DEV_GPU_UTIL": _Field("gpu_utilization", 100, 0.01),
    "DCGM_FI_DEV_MEM_COPY_UTIL": _Field("copy_utilization", 100, 0.01),
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": _Field("engine_active", 1),
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": _Field("tensor_active", 1),
    "DCGM_FI_PROF_DRAM_ACTIVE": _Field("dram_active", 1),
    "DCGM_FI_DEV_FB_USED": _Field("memory_used_mib", 2**24),
    "DCGM_FI_DEV_FB_FREE": _Field("memory_free_mib", 2**24),
    "DCGM_FI_DEV_FB_RESERVED": _Field("memory_reserved_mib", 2**24),
    "DCGM_FI_DEV_GPU_TEMP": _Field("temperature_c", 200),
    "DCGM_FI_DEV_POWER_USAGE": _Field("power_w", 10_000),
    "DCGM_FI_DEV_POWER_MGMT_LIMIT_DEF": _Field("power_default_w", 10_000),
    "DCGM_FI_DEV_POWER_MGMT_LIMIT": _Field("power_limit_w", 10_000),
    "DCGM_FI_DEV_ENFORCED_POWER_LIMIT": _Field("power_limit_w", 10_000),
    "DCGM_FI_DEV_SM_CLOCK": _Field("clock_mhz", 10_000),
    "DCGM_FI_DEV_MAX_SM_CLOCK": _Field("clock_most_mhz", 10_000),
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS": _Field("slowdowns", 2**16),
    "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS": _Field("slowdowns", 2**16),
    "DCGM_FI_DEV_XID_ERRORS": _Field("xid", 2**16),
}
"""The metrics that are read, and the greatest value that can be true. Units are DCGM's: %, share, MiB, °C, W, MHz."""

_NODE = ("Hostname", "hostname", "node", "nodeName", "kubernetes_node", "instance")
_TYPE = ("instance_type", "node_kubernetes_io_instance_type", "label_node_kubernetes_io_instance_type")
_EXPORTER = "dcgm-exporter"


def read_gpus(samples: Iterable[Sample], *, source: str, host: str) -> list[Reading]:
    """A reading for each GPU and slice. `host` is its node where no label tells it."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for sample in samples:
        field = FIELDS.get(sample.name)
        if field is None or not ("gpu" in sample.labels or _uuid(sample.labels)):
            continue
        place = _place(sample.labels, host)
        figures = found.setdefault((place.uuid or place.node, place.gpu, place.slice_id), _begun(place, sample.labels))
        figures["pods"].update(_pods(sample.labels))
        if 0 <= sample.value <= field.most:
            figures[field.name] = _value(field, sample.value)
    return [_reading(source, figures) for figures in found.values()]


def slowdowns(reasons: int) -> tuple[str, ...]:
    """What of these clock event reasons is a fault, in words."""
    return tuple(word for bit, word in SLOWDOWNS.items() if reasons & bit)


def _reading(source: str, figures: dict[str, Any]) -> Reading:
    pods: tuple[Pod, ...] = tuple(figures.pop("pods"))
    return Reading(source=source, pods=pods, **figures)


class _Place(NamedTuple):
    node: str
    gpu: str
    uuid: str
    slice_id: str


def _place(labels: Mapping[str, str], host: str) -> _Place:
    node = next((labels[name] for name in _NODE if labels.get(name)), host)
    return _Place(node, labels.get("gpu", ""), _uuid(labels), labels.get("GPU_I_ID", ""))


def _uuid(labels: Mapping[str, str]) -> str:
    return labels.get("UUID") or labels.get("uuid") or ""


def _begun(place: _Place, labels: Mapping[str, str]) -> dict[str, Any]:
    part = Slice(profile=labels.get("GPU_I_PROFILE", ""), id=place.slice_id) if place.slice_id else None
    return {
        "node": place.node,
        "index": place.gpu,
        "uuid": place.uuid,
        "model": labels.get("modelName", ""),
        "slice": part,
        "instance_type": next((labels[name] for name in _TYPE if labels.get(name)), None),
        "pods": {},
    }


def _pods(labels: Mapping[str, str]) -> dict[Pod, None]:
    """The pod that holds the GPU; the exporter's own holds none."""
    before = "exported_" if labels.get("exported_pod") else ""
    name = labels.get(f"{before}pod", "")
    if not name or _EXPORTER in name:
        return {}
    pod = Pod(namespace=labels.get(f"{before}namespace", ""), name=name, container=labels.get(f"{before}container", ""))
    return {pod: None}


def _value(field: _Field, value: float) -> object:
    if field.name == "slowdowns":
        return slowdowns(int(value))
    return int(value) if field.name == "xid" else value * field.scale
