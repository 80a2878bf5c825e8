"""Pods that have to stand apart: whether there are zones enough for all of them.

Karpenter starts another node for pods that avoid each other's node, but zones are what they are: only where every pool
that takes the pods names its zones is their number known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Body, mapping_at, mappings_at, selects, text_at, whole_at
from hanok.preflight.scheduling.asks import Ask
from hanok.preflight.scheduling.choices import ANY, Choice
from hanok.preflight.scheduling.seating import Ground
from hanok.preflight.scheduling.types import ZONE

if TYPE_CHECKING:
    from hanok.preflight.case import Case

TOO_FEW_ZONES = Rule(
    "HK328",
    "error",
    "pods that must stand in more zones than there are",
    "add zones to the pool, or let pods share one",
)


def check_zones(case: Case) -> Iterator[Finding]:
    """There are zones enough for pods that avoid each other's."""
    for ask in case.ground.pods:
        if not (mapping_at(ask.workload.spec, "affinity") or ask.workload.spec.get("topologySpreadConstraints")):
            continue
        zones = _zones(case.ground, ask)
        most = _most(ask, len(zones)) if zones else None
        if most and zones and ask.workload.most > most * len(zones):
            message = (
                f"{ask.workload.most} pods, of which a zone may hold {most}, and its pools have the zones "
                f"{', '.join(sorted(zones))}"
            )
            yield TOO_FEW_ZONES.on(ask.workload.manifest, *ask.workload.path, "spec", message=message)


def _most(ask: Ask, zones: int) -> int | None:
    """As many of its pods as one zone may hold; None where that is not bounded.

    Fewer zones than a spread's `minDomains` count as if there were an empty one.
    """
    spec, labels = ask.workload.spec, ask.workload.labels
    terms = mappings_at(spec, "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    if any(_is_about(each, labels) for each in terms):
        return 1
    spreads = [
        each
        for each in mappings_at(spec, "topologySpreadConstraints")
        if _is_about(each, labels) and text_at(each, "whenUnsatisfiable") != "ScheduleAnyway"
    ]
    return min(
        (whole_at(each, "maxSkew") or 1 for each in spreads if (whole_at(each, "minDomains") or 1) > zones),
        default=None,
    )


def _is_about(term: Body, labels: Mapping[str, str]) -> bool:
    return text_at(term, "topologyKey") == ZONE and selects(mapping_at(term, "labelSelector"), labels)


def _zones(ground: Ground, ask: Ask) -> frozenset[str] | None:
    """The zones that its pools and the pod itself name; None where one of them names none."""
    found: frozenset[str] = frozenset()
    for pool in ground.pools:
        if ground.fitting(ask, pool):
            for wanted in ask.alternatives:
                both: Choice = pool.choices.get(ZONE, ANY) & wanted.get(ZONE, ANY)
                if both.others:
                    return None
                found |= both.values
    return found


CHECKS = (check_zones,)
