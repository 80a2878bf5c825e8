"""How GPUs are shared out: what the GPU operator, or NVIDIA's device plugin alone, is told, and what nodes then offer.

A node's labels choose the configuration: `nvidia.com/mig.config` names a MIG layout, `nvidia.com/device-plugin.config`
a key of the plugin's ConfigMap. Source: NVIDIA k8s-device-plugin 0.17 and gpu-operator v26.7 (their values and docs).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hanok.preflight.charts import RELEASES, charts_of
from hanok.preflight.manifests import (
    NO_BODY,
    Body,
    Cluster,
    Manifest,
    Step,
    at,
    mapping_at,
    mappings_at,
    text_at,
    whole_at,
)
from hanok.preflight.placement import Sharing
from hanok.preflight.reading import read_mapping
from hanok.preflight.workloads import GPU

SHARED = f"{GPU}.shared"
MIG_LABEL, PLUGIN_LABEL = "nvidia.com/mig.config", "nvidia.com/device-plugin.config"
_OPERATOR, _PLUGIN = "gpu-operator", "nvidia-device-plugin"
_PROFILE = re.compile(r"\d+g\.\d+gb(?:\+me(?:\.all)?|\+gfx|-me)?")
_EVERY = re.compile(rf"all-(?P<profile>{_PROFILE.pattern})")
BALANCED = "all-balanced"
"""The layout of the operator's own that mixes sizes: two of one unit, one of two, one of three."""
Kind = Literal["time-slicing", "mps"]
_KINDS: Mapping[str, Kind] = {"timeSlicing": "time-slicing", "mps": "mps"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Operator:
    """What an operator or plugin in the tree is told. `values` are the chart's values, or the policy's `spec`."""

    manifest: Manifest
    values: Body
    place: tuple[Step, ...]
    """Where in the manifest the values stand."""
    alone: bool
    """Whether it is the device plugin without the operator."""
    strategy: str
    config: str
    """The ConfigMap of the device plugin."""
    default: str
    """Its key that counts for nodes without a label."""
    layouts: str
    """The ConfigMap of the MIG manager."""
    version: str = ""
    version_place: tuple[Step, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Slicing:
    """One entry of a plugin's configuration: GPUs that take turns."""

    kind: Kind
    replicas: int
    renamed: bool
    refuses_many: bool
    """Whether a request for more than one fails."""

    @property
    def offered(self) -> str:
        return SHARED if self.renamed else GPU


@dataclass(frozen=True, kw_only=True, eq=False)
class Shared:
    """How the GPUs of some nodes are shared out."""

    layout: str = ""
    """The name of the MIG layout that the nodes' label asks for."""
    profiles: Mapping[str, int] | None = None
    """Slices on one GPU by profile; None where there is no MIG, or the layout is not known."""
    strategy: str = "single"
    slicing: Slicing | None = None
    config: str = ""
    """The key of the plugin's ConfigMap that counts."""
    operator: Operator | None = None

    @property
    def only(self) -> Sharing | None:
        """What a pod is given, where all GPUs are shared out alike."""
        if self.profiles and len(self.profiles) == 1:
            return Sharing(kind="mig", profile=next(iter(self.profiles)))
        if self.slicing and self.slicing.replicas > 1:
            return Sharing(kind=self.slicing.kind, replicas=self.slicing.replicas)
        return None

    def offers(self, gpus: int, slices: Mapping[str, int]) -> dict[str, int]:
        """What the kubelet offers of so many GPUs, by resource; `slices` fit on one GPU, by profile."""
        profiles = self.profiles_on(slices)
        if profiles:
            if self.strategy == "mixed":
                return {f"nvidia.com/mig-{name}": count * gpus for name, count in profiles.items()}
            return {GPU: sum(profiles.values()) * gpus}
        if self.slicing:
            return {self.slicing.offered: self.slicing.replicas * gpus}
        return {GPU: gpus}

    def profiles_on(self, slices: Mapping[str, int]) -> dict[str, int]:
        """Slices on one GPU by profile; those that this GPU does not have are not made, and it stays whole."""
        if self.layout == BALANCED and not self.profiles:
            sizes = (next((name for name in slices if name.startswith(f"{units}g.")), "") for units in (1, 2, 3))
            return {name: count for name, count in zip(sizes, (2, 1, 1), strict=True) if name}
        wanted = self.profiles or {}
        return {name: count or slices[name] for name, count in wanted.items() if name in slices}


NOT_SHARED = Shared()
_TELLING = ("ClusterPolicy", *RELEASES)


def operators(cluster: Cluster) -> list[Operator]:
    """Everything in the tree that says how GPUs are offered."""
    return [each for manifest in cluster.manifests if manifest.kind in _TELLING for each in _operator(manifest)]


def _operator(manifest: Manifest) -> Iterator[Operator]:
    if manifest.kind == "ClusterPolicy" and manifest.group == "nvidia.com":
        yield _told(manifest, mapping_at(manifest.body, "spec"), ("spec",), alone=False)
    for chart in charts_of(manifest):
        if chart.name in (_OPERATOR, _PLUGIN):
            told = _told(manifest, chart.values, chart.place, alone=chart.name == _PLUGIN)
            yield replace(told, version=chart.version, version_place=chart.version_place)


def _told(manifest: Manifest, values: Body, place: tuple[Step, ...], *, alone: bool) -> Operator:
    config = mapping_at(values, "config") if alone else mapping_at(values, "devicePlugin", "config")
    return Operator(
        manifest=manifest, values=values, place=place, alone=alone,
        strategy=text_at(values, "migStrategy") or "none" if alone else text_at(values, "mig", "strategy") or "single",
        config=text_at(config, "name"), default=text_at(config, "default"),
        layouts="" if alone else text_at(values, "migManager", "config", "name"),
    )  # fmt: skip


def shared(labels: Mapping[str, str], cluster: Cluster, told: Sequence[Operator]) -> Shared:
    """How the GPUs of nodes with these labels are shared out."""
    operator = next(iter(told), None)
    layout = labels.get(MIG_LABEL, "")
    profiles = layout_profiles(layout, cluster)
    key = labels.get(PLUGIN_LABEL) or (operator.default if operator else "")
    return Shared(
        layout=layout, profiles=profiles, strategy=operator.strategy if operator else "single",
        slicing=_slicing(plugin_config(key, operator, cluster)), config=key, operator=operator,
    )  # fmt: skip


def layout_profiles(layout: str, cluster: Cluster) -> dict[str, int] | None:
    """Slices of one GPU by profile; of `all-1g.10gb` one, that stands for as many as there are.

    None for no layout, MIG switched off, or a name that is defined elsewhere.
    """
    for manifest in layout_maps(cluster):
        for name, entry in layouts_of(manifest).items():
            if name == layout:
                return _devices(entry)
    found = _EVERY.fullmatch(layout)
    return {found["profile"]: 0} if found else None


def layout_maps(cluster: Cluster) -> Iterator[Manifest]:
    """ConfigMaps that hold MIG layouts."""
    yield from (each for each in cluster.of("ConfigMap") if layouts_of(each))


def layouts_of(manifest: Manifest) -> Mapping[str, list[Body]]:
    """The MIG layouts in a ConfigMap, by name."""
    found: dict[str, list[Body]] = {}
    for text in mapping_at(manifest.body, "data").values():
        if isinstance(text, str) and "mig-configs" in text:
            layouts = mapping_at(read_mapping(text), "mig-configs")
            found |= {str(name): mappings_at(layouts, name) for name in layouts}
    return found


def profiles_in(entry: Sequence[Body]) -> list[str]:
    """Every profile that a layout names."""
    return [name for each in entry for name in mapping_at(each, "mig-devices")]


def _devices(entry: Sequence[Body]) -> dict[str, int] | None:
    found: dict[str, int] = {}
    for each in entry:
        for name, count in mapping_at(each, "mig-devices").items():
            if isinstance(count, int):
                found[name] = max(found.get(name, 0), count)
    return found or None


def plugin_maps(operator: Operator, cluster: Cluster) -> Manifest | None:
    """The ConfigMap that a device plugin reads."""
    name = operator.config
    found = cluster.find("ConfigMap", name, operator.manifest.namespace) if name else None
    return found or next((each for each in cluster.of("ConfigMap") if name and each.name == name), None)


def plugin_config(key: str, operator: Operator | None, cluster: Cluster) -> Body:
    """What the device plugin of some nodes is told."""
    held = plugin_maps(operator, cluster) if operator else None
    text = text_at(held.body, "data", key) if held and key else ""
    return read_mapping(text) if text else NO_BODY


def _slicing(config: Body) -> Slicing | None:
    for key, kind in _KINDS.items():
        told = mapping_at(config, "sharing", key)
        for each in mappings_at(told, "resources"):
            replicas = whole_at(each, "replicas") or 1
            if text_at(each, "name") in (GPU, "gpu") and replicas > 1:
                renamed = at(told, "renameByDefault") is True or bool(text_at(each, "rename"))
                refuses = kind == "mps" or at(told, "failRequestsGreaterThanOne") is True
                return Slicing(kind=kind, replicas=replicas, renamed=renamed, refuses_many=refuses)
    return None


def slicing_maps(cluster: Cluster) -> Iterator[tuple[Manifest, str, Slicing]]:
    """ConfigMaps that tell GPUs to take turns, by key."""
    for manifest in cluster.of("ConfigMap"):
        for key, text in mapping_at(manifest.body, "data").items():
            found = _slicing(read_mapping(text)) if isinstance(text, str) and "replicas" in text else None
            if found:
                yield manifest, key, found


def claimed_gpus(spec: Body, namespace: str, cluster: Cluster) -> int:
    """GPUs that a pod claims through dynamic resource allocation: each device of NVIDIA's class counts as one."""
    total = 0
    for claim in mappings_at(spec, "resourceClaims"):
        template = cluster.find("ResourceClaimTemplate", text_at(claim, "resourceClaimTemplateName"), namespace)
        direct = cluster.find("ResourceClaim", text_at(claim, "resourceClaimName"), namespace)
        devices = at(template.body, "spec", "spec", "devices") if template else None
        devices = devices or (at(direct.body, "spec", "devices") if direct else None)
        total += sum(_claimed(each) for each in mappings_at(devices, "requests"))
    return total


def _claimed(request: Body) -> int:
    first = next(iter(mappings_at(request, "firstAvailable")), NO_BODY)
    exact = mapping_at(request, "exactly") or first or request
    if text_at(exact, "deviceClassName") != "gpu.nvidia.com":
        return 0
    return max(1, whole_at(exact, "count") or 1)
