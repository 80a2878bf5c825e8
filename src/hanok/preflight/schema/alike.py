"""Pods that are alike: what is right in one is right in all, so that thousands of pods cost as many as differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from hanok.preflight.findings import Finding
from hanok.preflight.manifests import at
from hanok.preflight.workloads import Workload


def look_at(pods: Iterable[Workload], look: Callable[[Workload], Iterator[Finding]]) -> Iterator[Finding]:
    """What `look` finds in each. It looks at specs, kinds and claims alone, and once at what it finds nothing in."""
    sound: set[tuple[object, ...]] = set()
    for each in pods:
        like, found = _likeness(each), None
        if like not in sound:
            for found in look(each):
                yield found
            if found is None:
                sound.add(like)


def _likeness(pod: Workload) -> tuple[object, ...]:
    claims = at(pod.manifest.body, "spec", "volumeClaimTemplates")
    return pod.likeness, pod.manifest.kind, pod.manifest.group, pod.path, repr(claims) if claims else ""
