"""How nodes are told to share out their GPUs: labels that name a configuration, and nodes written by hand.

NVIDIA's device plugin and MIG manager take a *name inside* of a ConfigMap from a node's label, not the ConfigMap's own.
Source: NVIDIA's GPU operator 26.7 (`devicePlugin.config`, `migManager.config`) and its notes on sharing GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Body, Manifest, Step, at, mapping_at, text_at
from hanok.preflight.reading import read_mapping
from hanok.preflight.references.uses import is_name

NO_SUCH_CONFIG = Rule(
    "HK254",
    "error",
    "a name of a GPU configuration that is in no ConfigMap",
    "write a key of the ConfigMap, not its name",
)
NODE_BY_HAND = Rule(
    "HK255",
    "warning",
    "a Node written by hand",
    "put the labels into the NodePool: `spec.template.metadata.labels`",
)

PLUGIN_LABEL, MIG_LABEL = "nvidia.com/device-plugin.config", "nvidia.com/mig.config"
_CHARTS = ("gpu-operator", "nvidia-device-plugin")
_LABELLED: Sequence[tuple[str, tuple[Step, ...]]] = (
    ("Node", ("metadata", "labels")),
    ("NodePool", ("spec", "template", "metadata", "labels")),
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What an operator is told of configurations: the ConfigMap, the names in it where they are known."""

    manifest: Manifest
    path: tuple[Step, ...]
    config_map: str
    names: frozenset[str] | None


def check_labels(case: Case) -> Iterator[Finding]:
    plugin, mig = _settings(case, "devicePlugin"), _settings(case, "migManager")
    for kind, where in _LABELLED:
        for manifest in case.cluster.of(kind):
            labels = mapping_at(manifest.body, *where)
            yield from _wrong(manifest, (*where, PLUGIN_LABEL), at(labels, PLUGIN_LABEL), plugin)
            yield from _wrong(manifest, (*where, MIG_LABEL), at(labels, MIG_LABEL), mig)


def check_defaults(case: Case) -> Iterator[Finding]:
    for part in ("devicePlugin", "migManager"):
        for setting in _settings(case, part):
            value = at(setting.manifest.body, *setting.path, "default")
            yield from _wrong(setting.manifest, (*setting.path, "default"), value, [setting])


def _wrong(manifest: Manifest, path: tuple[Step, ...], value: object, settings: Sequence[Setting]) -> Iterator[Finding]:
    if not isinstance(value, str) or not is_name(value):
        return
    known = [each for each in settings if each.names is not None]
    if known and len(known) == len(settings) and not any(value in (each.names or ()) for each in known):
        setting = known[0]
        there = ", ".join(f"`{each}`" for each in sorted(setting.names or ())) or "nothing"
        source = f"ConfigMap {setting.config_map}" if setting.config_map else setting.manifest.title
        own = ": that is the ConfigMap's own name" if value == setting.config_map else ""
        message = f"`{value}` is no configuration of {source}{own}; it has {there}"
        yield NO_SUCH_CONFIG.on(manifest, *path, message=message)


def _settings(case: Case, part: str) -> list[Setting]:
    """What the operator's values, or its ClusterPolicy, say of a part."""
    found: list[Setting] = []
    for manifest in case.cluster.of("HelmRelease", "ClusterPolicy"):
        for path in _places(manifest, part):
            config = mapping_at(manifest.body, *path)
            if config:
                found.append(_setting(case, manifest, path, config, part))
    return found


def _places(manifest: Manifest, part: str) -> Iterator[tuple[Step, ...]]:
    if manifest.kind == "ClusterPolicy" and manifest.group == "nvidia.com":
        yield ("spec", part, "config")
    spec = mapping_at(manifest.body, "spec")
    chart = text_at(spec, "chart", "spec", "chart") or text_at(spec, "chartRef", "name")
    if manifest.kind == "HelmRelease" and chart in _CHARTS:
        yield ("spec", "values", part, "config")
        if chart == "nvidia-device-plugin" and part == "devicePlugin":
            yield ("spec", "values", "config")


def _setting(case: Case, manifest: Manifest, path: tuple[Step, ...], config: Body, part: str) -> Setting:
    name = text_at(config, "name")
    space = text_at(manifest.body, "spec", "targetNamespace") or manifest.namespace
    same = (each for each in case.cluster.of("ConfigMap") if each.name == name)
    found = next((each for each in same if space in ("", each.namespace)), None)
    data = mapping_at(config, "data") or mapping_at(config, "map") or (mapping_at(found.body, "data") if found else {})
    names = frozenset(data) if part == "devicePlugin" else _mig_names(data)
    return Setting(manifest=manifest, path=path, config_map=name, names=names or None)


def _mig_names(data: Body) -> frozenset[str]:
    """The names in a MIG manager's file; it always knows how to disable."""
    held = read_mapping(text_at(data, "config.yaml"))
    return frozenset(mapping_at(held, "mig-configs"))


def check_nodes(case: Case) -> Iterator[Finding]:
    pools = any(True for _ in case.cluster.of("NodePool"))
    for node in case.cluster.of("Node", group=""):
        if any(key.startswith("kwok.x-k8s.io/") for key in node.annotations):
            continue  # a fake one, for tests
        who = "Karpenter names its nodes itself, and" if pools else "nodes register themselves;"
        message = f"{who} no machine will ever be `{node.name}`: the labels reach none"
        yield NODE_BY_HAND.on(node, message=message)


CHECKS = (check_labels, check_defaults, check_nodes)
