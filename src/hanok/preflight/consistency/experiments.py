"""Experiments: files that say how traffic is split, and that nothing reads."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.preflight.case import Case
from hanok.preflight.consistency.embedded import Embedded, embedded
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Manifest, list_at, mapping_at

READ_BY_NOBODY = Rule(
    "HK579",
    "warning",
    "a split of traffic that nothing reads",
    "split by HTTPRoute backendRefs[].weight, InferenceModelRewrite targets[].weight, or weights in the gateway",
)
_SPLITS = ("traffic_split", "trafficSplit", "variants")


def check_experiments(case: Case) -> Iterator[Finding]:
    """ConfigMaps with experiments that no object of the tree names."""
    for config in embedded(case.cluster, holding="experiments"):
        if config.outer is not config.inner and _splits(config) and not _is_named(case, config.outer):
            message = f"no object here names ConfigMap {config.outer.name}, so its weights move no call"
            yield config.finding(READ_BY_NOBODY, "experiments", message=message)


def _splits(config: Embedded) -> bool:
    return any(key in mapping_at(each) for each in list_at(config.body, "experiments") for key in _SPLITS)


def _is_named(case: Case, config: Manifest) -> bool:
    """Whether its name stands anywhere in another object of its namespace."""
    others = (
        each for each in case.cluster.manifests if each is not config and each.namespace in (config.namespace, "")
    )
    return any(_holds(each.body, config.name) for each in others)


def _holds(value: object, name: str) -> bool:
    if isinstance(value, str):
        return name in value
    below = [*mapping_at(value).values(), *list_at(value)]
    return any(_holds(each, name) for each in below)


CHECKS = (check_experiments,)
