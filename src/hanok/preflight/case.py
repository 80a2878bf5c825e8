"""The case that is judged: the cluster, what is known, and what follows from both, worked out once, when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from hanok.preflight.engines import Engine, engines
from hanok.preflight.facts import Facts
from hanok.preflight.findings import Finding
from hanok.preflight.fit.needs import EngineFit, fits
from hanok.preflight.manifests import Cluster
from hanok.preflight.placement import Placement
from hanok.preflight.workloads import Workload, workloads


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """All that a check may look at."""

    cluster: Cluster
    facts: Facts

    @cached_property
    def workloads(self) -> Sequence[Workload]:
        return workloads(self.cluster)

    @cached_property
    def engines(self) -> Sequence[Engine]:
        return engines(self.workloads)

    @cached_property
    def placement(self) -> Placement:
        return Placement()

    @cached_property
    def fits(self) -> Sequence[EngineFit]:
        """What every engine takes wherever it may stand."""
        return fits(self.engines, self.placement, self.facts)


Check = Callable[[Case], Iterator[Finding]]
"""One question to a case; its answers are findings."""
