"""NVIDIA's GPU operator: what it is told about drivers, MIG and time-slicing, by whichever way its chart is installed.

Values come from a HelmRelease, an Argo CD Application or a ClusterPolicy; layouts and sharing from ConfigMaps that they
name. Each is looked at where it stands, so that half of a platform's files still give what they can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hanok.gpu import Catalog
from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Body, Cluster, Manifest, at, list_at, mapping_at, mappings_at, text_at, whole_at
from hanok.preflight.reading import read_mapping
from hanok.preflight.sharing import Operator, operators
from hanok.preflight.workloads import Path

OLD = Rule("HK450", "warning", "a GPU operator that is no longer supported", "take a supported release, step by step")
ALL_SHARED = Rule(
    "HK451", "warning", "time-slicing on every GPU node", "leave `devicePlugin.config.default` out, and label pools"
)
TWO_STRATEGIES = Rule("HK452", "warning", "two MIG strategies that differ", "say `mig.strategy` alone")
INSTALLED_TWICE = Rule("HK453", "warning", "what the node's image has already, installed again", "switch it off")
ONE_GPU = Rule("HK454", "warning", "a MIG layout for one GPU of several", "write `devices: all`")
NO_LAYOUT = Rule("HK455", "error", "a MIG layout that no GPU can have", "take profiles that fit beside each other")
UNREAD_LAYOUT = Rule(
    "HK456", "warning", "MIG layouts that nobody reads", "name the ConfigMap in migManager.config.name"
)
MANY_SHARES = Rule(
    "HK457", "warning", "several shares of one GPU pass for several GPUs", "set failRequestsGreaterThanOne: true"
)
UNREAD_SETTING = Rule(
    "HK458", "warning", "a setting of the GPU operator that nobody reads", "delete it; say it in values"
)

BLURRED = Rule(
    "HK459",
    "info",
    "GPU metrics that name no container",
    "cut the GPU with MIG where each pod's use must be known, or read the engines' own metrics",
)

SUPPORTED, FADING = (26, 7), (26, 3)
"""NVIDIA's platform support page, July 2026: 26.7 supported, 26.3 deprecated, all before without support."""
SLICES = 8
"""Parts that MIG cuts a GPU's memory into."""
_PROFILE = re.compile(r"(\d)g\.(\d+)gb(?:[+-].*)?")
_BESIDE = frozenset({
    "1g.6gb", "2g.12gb", "4g.24gb", "1g.12gb", "1g.24gb", "2g.24gb", "3g.47gb", "4g.47gb", "7g.94gb", "3g.48gb",
    "4g.48gb", "7g.96gb", "1g.47gb", "2g.47gb", "3g.93gb", "4g.93gb", "7g.186gb", "1g.34gb", "1g.67gb", "2g.67gb",
    "3g.135gb", "4g.135gb", "7g.269gb", "1g.35gb", "1g.69gb", "2g.69gb", "3g.139gb", "4g.139gb", "7g.278gb",
})  # fmt: skip
"""Profiles of GPUs that the catalogue does not have: A30, H100 NVL, GH200, GB200, B300, GB300 (NVIDIA's MIG guide)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Told:
    """A text of a ConfigMap that is YAML itself."""

    manifest: Manifest
    key: str
    body: Body

    @property
    def path(self) -> Path:
        return ("data", self.key)


def whole_operators(cluster: Cluster) -> list[Operator]:
    """Every installation of the operator, or its policy; not of the device plugin alone."""
    return [each for each in operators(cluster) if not each.alone]


def texts(cluster: Cluster, key: str) -> list[Told]:
    """The texts in ConfigMaps that have this key at their top."""
    found: list[Told] = []
    for manifest in cluster.of("ConfigMap"):
        for name, text in mapping_at(manifest.body, "data").items():
            if isinstance(text, str) and key in text:
                body = read_mapping(text)
                found += [Told(manifest=manifest, key=name, body=body)] if key in body else []
    return found


def check_version(case: Case) -> Iterator[Finding]:
    for operator in whole_operators(case.cluster):
        found = re.fullmatch(r"v?(\d+)\.(\d+)(\.\d+)?", operator.version)
        version = (int(found[1]), int(found[2])) if found else SUPPORTED
        if version < SUPPORTED:
            fading = version >= FADING
            state = "gets fixes only" if fading else "gets no fixes any more"
            message = f"GPU operator {operator.version} {state}; v{SUPPORTED[0]}.{SUPPORTED[1]}.0 is out"
            severity = "info" if fading else "warning"
            yield OLD.on(operator.manifest, *operator.version_place, message=message, severity=severity)


def check_default_sharing(case: Case) -> Iterator[Finding]:
    for operator in whole_operators(case.cluster):
        config: Path = ("devicePlugin", "config")
        default, name = (text_at(operator.values, *config, key) for key in ("default", "name"))
        told = _plugin_config(case.cluster, operator, name, default)
        if default and told and (replicas := _replicas(told)) > 1:
            message = f"`default: {default}` gives every GPU of every node without a label to {replicas} pods"
            hint = f"leave `default` out; label the pools that should share: nvidia.com/device-plugin.config: {default}"
            path = (*operator.place, *config, "default")
            yield ALL_SHARED.on(operator.manifest, *path, message=message, hint=hint)


def _plugin_config(cluster: Cluster, operator: Operator, name: str, key: str) -> Body:
    """The device plugin's configuration of this name and key: among the values, or in a ConfigMap."""
    inline = text_at(operator.values, "devicePlugin", "config", "data", key)
    maps = [each for each in cluster.of("ConfigMap") if each.name == name]
    return read_mapping(inline or (text_at(maps[0].body, "data", key) if maps else ""))


def _replicas(config: Body) -> int:
    """So many pods get the same GPU, at most."""
    kinds = (mappings_at(config, "sharing", kind, "resources") for kind in ("timeSlicing", "mps"))
    return max((whole_at(each, "replicas") or 1 for kind in kinds for each in kind), default=1)


def check_strategies(case: Case) -> Iterator[Finding]:
    for operator in whole_operators(case.cluster):
        name = text_at(operator.values, "devicePlugin", "config", "name")
        strategy = text_at(operator.values, "mig", "strategy")
        for told in texts(case.cluster, "flags"):
            other = text_at(told.body, "flags", "migStrategy")
            if strategy and other and told.manifest.name == name and other != strategy:
                message = (
                    f"flags.migStrategy is {other} here, and mig.strategy is {strategy} in {operator.manifest.title}"
                )
                yield TWO_STRATEGIES.on(told.manifest, *told.path, message=message)


def check_preinstalled(case: Case) -> Iterator[Finding]:
    images = {_image(each) for each in case.cluster.of("EC2NodeClass")}
    for operator in whole_operators(case.cluster):
        if "al2023" in images:
            yield from _again(operator, ("driver", "toolkit"), "the EKS image AL2023 for NVIDIA")
        if "bottlerocket" in images:
            yield from _again(operator, ("driver", "toolkit", "devicePlugin"), "Bottlerocket's image for NVIDIA")


def _image(node_class: Manifest) -> str:
    """The family of a node class's image, in small letters."""
    terms = (text_at(each, "alias") for each in mappings_at(node_class.body, "spec", "amiSelectorTerms"))
    named = next((each for each in terms if each), "") or text_at(node_class.body, "spec", "amiFamily")
    return named.partition("@")[0].lower()


def _again(operator: Operator, parts: Sequence[str], image: str) -> Iterator[Finding]:
    on = [each for each in parts if at(operator.values, each, "enabled") is not False]
    if on:
        message = f"{image} brings {', '.join(parts)}; here the operator installs {', '.join(on)}, too"
        hint = "; ".join(f"{each}.enabled: false" for each in on)
        yield INSTALLED_TWICE.on(operator.manifest, *operator.place, message=message, hint=hint)


def layouts(cluster: Cluster) -> Iterator[tuple[Told, str, Sequence[Body]]]:
    """MIG layouts by name, each with its entries."""
    for told in texts(cluster, "mig-configs"):
        for name in mapping_at(told.body, "mig-configs"):
            yield told, name, mappings_at(told.body, "mig-configs", name)


def check_devices(case: Case) -> Iterator[Finding]:
    told_in: dict[tuple[Manifest, str], list[str]] = {}
    most = _gpus_of_pools(case)
    for told, name, entries in layouts(case.cluster):
        devices = {index for each in entries for index in list_at(each, "devices")}
        whole = any(not isinstance(each.get("devices"), list) for each in entries)
        if len(devices) == 1 and not whole and most != 1:
            told_in.setdefault((told.manifest, told.key), []).append(name)
    for (manifest, key), names in told_in.items():
        machine = f"machines here have up to {most} GPUs" if most else "machines with MIG mostly have 8 GPUs"
        message = f"{', '.join(names)}: one GPU alone is cut, and {machine}"
        yield ONE_GPU.on(manifest, "data", key, message=message)


def _gpus_of_pools(case: Case) -> int:
    """The most GPUs of a machine with MIG that a pool names; 0 where none names one."""
    catalog = case.facts.catalog
    named = [
        value
        for pool in case.cluster.of("NodePool")
        for each in mappings_at(pool.body, "spec", "template", "spec", "requirements")
        for value in list_at(each, "values")
    ]
    hosts = [catalog.instances[name] for name in named if isinstance(name, str) and name in catalog.instances]
    return max((each.gpus for each in hosts if each.accelerator in catalog.mig), default=0)


def check_layouts(case: Case) -> Iterator[Finding]:
    for told, name, entries in layouts(case.cluster):
        for entry in entries:
            wanted = {str(key): each for key, each in mapping_at(entry, "mig-devices").items() if isinstance(each, int)}
            if wrong := _impossible(wanted, case.facts.catalog):
                message, sure = f"{name}: {wrong[0]}", wrong[1]
                severity = "error" if sure else "warning"
                yield NO_LAYOUT.on(told.manifest, *told.path, message=message, severity=severity)


def _impossible(wanted: Mapping[str, int], catalog: Catalog) -> tuple[str, bool] | None:
    """Why no GPU can be cut so, and whether that is certain."""
    plain = {name.partition("+")[0]: count for name, count in wanted.items()}
    known = {profile for each in catalog.mig.values() for profile in each}
    if strange := [name for name in plain if not _PROFILE.fullmatch(name)]:
        return f"`{strange[0]}` is no MIG profile; they are called as 1g.10gb", True
    if foreign := [name for name in plain if name not in known]:
        return None if set(foreign) <= _BESIDE else (f"no GPU known here has the profile {foreign[0]}", False)
    able = [name for name, profiles in catalog.mig.items() if plain.keys() <= profiles.keys()]
    said = " + ".join(f"{count} × {name}" for name, count in plain.items())
    if not able:
        return f"no GPU has all of {said}", True
    if any(_fits_beside(plain, name, catalog) for name in able):
        return None
    return f"{said} are more than one {catalog.accelerators[able[0]].title} has room for", True


def _fits_beside(wanted: Mapping[str, int], accelerator: str, catalog: Catalog) -> bool:
    """Whether computing and memory of one GPU are enough for these slices."""
    profiles, memory = catalog.mig[accelerator], catalog.accelerators[accelerator].memory_mib or 0
    parts = {name: int(name[0]) for name in profiles}
    computing = sum(parts[name] * count for name, count in wanted.items())
    used = sum(max(1, round(profiles[name].memory_mib / memory * SLICES)) * count for name, count in wanted.items())
    return computing <= max(parts.values()) and used <= SLICES


def check_unread_layouts(case: Case) -> Iterator[Finding]:
    found = whole_operators(case.cluster)
    named = {text_at(each.values, "migManager", "config", "name") for each in found}
    for told in texts(case.cluster, "mig-configs"):
        if found and told.manifest.name not in named and mapping_at(told.body, "mig-configs"):
            message = f"migManager.config.name of {found[0].manifest.title} does not name this ConfigMap"
            yield UNREAD_LAYOUT.on(told.manifest, "metadata", "name", message=message)


def check_shares(case: Case) -> Iterator[Finding]:
    for told in texts(case.cluster, "sharing"):
        slicing = mapping_at(told.body, "sharing", "timeSlicing")
        replicas = _replicas(told.body)
        if slicing and replicas > 1 and slicing.get("failRequestsGreaterThanOne") is not True:
            message = f"a pod that asks for {replicas} GPUs may be given {replicas} turns on one, with one GPU's memory"
            yield MANY_SHARES.on(told.manifest, *told.path, message=message)


def check_attribution(case: Case) -> Iterator[Finding]:
    """NVIDIA's notes on sharing GPUs: under time-slicing DCGM's exporter cannot say whose a GPU's load is."""
    found = whole_operators(case.cluster)
    exported = any(at(each.values, "dcgmExporter", "enabled") is not False for each in found)
    exported = exported or any("dcgm-exporter" in box.image for each in case.workloads for box in each.containers)
    for told in texts(case.cluster, "sharing") if exported else ():
        if mapping_at(told.body, "sharing", "timeSlicing") and _replicas(told.body) > 1:
            message = "while GPUs take turns, the DCGM exporter gives their load as a whole, not by pod"
            yield BLURRED.on(told.manifest, *told.path, message=message)


def check_settings(case: Case) -> Iterator[Finding]:
    for manifest in case.cluster.of("ConfigMap"):
        if "mig.strategy" in mapping_at(manifest.body, "data"):
            message = "nobody reads `mig.strategy` in a ConfigMap: it is a value of the chart, or of the ClusterPolicy"
            yield UNREAD_SETTING.on(manifest, "data", "mig.strategy", message=message)


CHECKS = (
    check_version, check_default_sharing, check_strategies, check_preinstalled, check_devices, check_layouts,
    check_unread_layouts, check_shares, check_attribution, check_settings,
)  # fmt: skip
