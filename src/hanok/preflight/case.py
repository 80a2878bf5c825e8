"""The case that is judged: the cluster, what is known, and what follows from both, worked out once, when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from hanok.preflight.cost.bill import Bill, make_bill
from hanok.preflight.cost.serving import Serving
from hanok.preflight.declared import Declared
from hanok.preflight.engines import Engine, by_workload, engines
from hanok.preflight.facts import Facts
from hanok.preflight.findings import Finding
from hanok.preflight.fit.needs import EngineFit, fits
from hanok.preflight.inventory import Inventory
from hanok.preflight.manifests import Cluster
from hanok.preflight.placement import Placement
from hanok.preflight.platform.planned import Planned, planned
from hanok.preflight.scheduling.counting import Counts
from hanok.preflight.scheduling.seating import Ground
from hanok.preflight.workloads import Workload, workloads


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """All that a check may look at."""

    cluster: Cluster
    facts: Facts
    platforms: Sequence[Declared] = ()

    @cached_property
    def workloads(self) -> Sequence[Workload]:
        return workloads(self.cluster)

    @cached_property
    def ground(self) -> Ground:
        """Pools, what pods ask for, and who may stand where."""
        return Ground(self.cluster, self.facts, self.workloads)

    @cached_property
    def counts(self) -> Counts:
        """How many nodes there will be."""
        return Counts(self.ground)

    @cached_property
    def placement(self) -> Placement:
        """Where pods may stand, and the nodes that they would need."""
        return self.counts.placement

    @cached_property
    def engines(self) -> Sequence[Engine]:
        return engines(self.workloads)

    @cached_property
    def engines_in(self) -> Mapping[Workload, Sequence[Engine]]:
        """The engines of each workload that has some."""
        return by_workload(self.engines)

    @cached_property
    def inventory(self) -> Inventory:
        return Inventory(cluster=self.cluster, workloads=self.workloads)

    @cached_property
    def fits(self) -> Sequence[EngineFit]:
        """What every engine takes wherever it may stand."""
        return fits(self.engines, self.placement, self.facts)

    @cached_property
    def serving(self) -> Serving:
        """Who answers calls, and what protects him."""
        return Serving(cluster=self.cluster, inventory=self.inventory, engines=self.engines_in)

    @cached_property
    def planned(self) -> Sequence[Planned]:
        return planned(self.platforms, self.facts.catalog, self.facts.anatomy)

    @cached_property
    def bill(self) -> Bill:
        facts = self.facts
        return make_bill(
            self.placement, self.workloads, self.engines, self.planned, catalog=facts.catalog, anatomy=facts.anatomy
        )


Check = Callable[[Case], Iterator[Finding]]
"""One question to a case; its answers are findings."""
