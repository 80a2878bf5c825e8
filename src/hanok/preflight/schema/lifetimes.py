"""How long nodes may live: EKS Auto Mode refuses NodePools that would let them live longer than 21 days.

Its API server says that the sum of expireAfter and terminationGracePeriod, by default 24h, may not exceed 21 days; EKS'
user guide has both numbers. https://docs.aws.amazon.com/eks/latest/userguide/create-node-pool.html
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.preflight.case import Case
from hanok.preflight.durations import seconds
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Manifest, mapping_at, text_at

TOO_LONG = Rule(
    "HK136",
    "error",
    "nodes that would live longer than EKS Auto Mode lets them",
    "write 504h (21 days) in all at most: `expireAfter: 480h` leaves the usual day to drain",
)
AUTO_MODE = "eks.amazonaws.com"
"""The group of its node classes."""
LONGEST_S = 21 * 24 * 3600
DRAINED_WITHIN = "24h"
"""Its `terminationGracePeriod` for pools that name none."""


def check_lifetimes(case: Case) -> Iterator[Finding]:
    for pool in case.cluster.of("NodePool", group="karpenter.sh"):
        spec = mapping_at(pool.body, "spec", "template", "spec")
        if text_at(spec, "nodeClassRef", "group") == AUTO_MODE:
            yield from _lifetime(pool, text_at(spec, "expireAfter"), text_at(spec, "terminationGracePeriod"))


def _lifetime(pool: Manifest, life: str, grace: str) -> Iterator[Finding]:
    """A life that is not written is Auto Mode's own, and counts as none here; one that is no duration is not judged."""
    path = ("spec", "template", "spec", "expireAfter" if life else "terminationGracePeriod")
    if life == "Never":
        message = "expireAfter is Never, and EKS Auto Mode lets no node live longer than 504h (21 days)"
        yield TOO_LONG.on(pool, *path, message=message, severity="warning")
        return
    lived, drained = seconds(life or "0s"), seconds(grace or DRAINED_WITHIN)
    if lived is None or drained is None or lived + drained <= LONGEST_S:
        return
    parts = [f"expireAfter {life}"] if life else []
    parts.append(f"terminationGracePeriod {grace or f'{DRAINED_WITHIN} (by default)'}")
    together = f" are {(lived + drained) / 3600:g}h together" if life else ""
    message = (
        f"{' and '.join(parts)}{together}; EKS Auto Mode takes no pool whose nodes may live longer than 504h (21 days)"
    )
    yield TOO_LONG.on(pool, *path, message=message)


CHECKS = (check_lifetimes,)
