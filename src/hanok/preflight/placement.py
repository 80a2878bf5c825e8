"""Where pods may stand, and where they would: what scheduling finds out, and memory and money reckon with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hanok.gpu.catalog import Instance
from hanok.preflight.manifests import Manifest
from hanok.preflight.quantities import Amounts
from hanok.preflight.workloads import Workload

Capacity = Literal["on-demand", "spot", "reserved"]


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """How GPUs of a node are shared out: as MIG slices, or as replicas that take turns."""

    kind: Literal["mig", "time-slicing", "mps"]
    profile: str = ""
    """The MIG profile that a pod is given."""
    replicas: int = 1
    """So many pods are given the same GPU."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Seat:
    """An instance type of a pool that a pod may be put on."""

    pool: str
    manifest: Manifest | None
    """The pool's, or the node's."""
    instance: str
    host: Instance
    capacities: frozenset[Capacity]
    sharing: Sharing | None = None
    usd_hour: float | None = None
    """On demand."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """A node that would be started, and what stands on it; `count` are alike, so that a billion cost no memory."""

    seat: Seat
    capacity: Capacity
    pods: Sequence[tuple[Workload, int]]
    free: Amounts
    count: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """Seats by workload, and the nodes with as few and with as many replicas as there may be.

    A workload without an entry in `seats` could not be judged: its nodes are not among what was given.
    """

    seats: Mapping[Workload, Sequence[Seat]] = field(default_factory=dict[Workload, Sequence[Seat]])
    firsts: Mapping[Workload, Sequence[Seat]] | None = None
    """The same with the cheapest seat of each pool alone, where somebody has it at hand."""
    machines: Mapping[Workload, Sequence[Seat]] | None = None
    """The same with one seat for all nodes that are alike, where somebody has it at hand."""
    least: Sequence[Node] = ()
    most: Sequence[Node] = ()

    def machines_of(self, workload: Workload) -> Sequence[Seat]:
        """Seats on different machines: thousands of nodes that are there are of few kinds."""
        return (self.seats if self.machines is None else self.machines).get(workload, ())

    def first_seats(self, workload: Workload) -> Sequence[Seat]:
        """The cheapest seat in each pool that takes the pod: thousands of pods in hundreds of pools have millions."""
        if self.firsts is not None:
            return self.firsts.get(workload, ())
        by_pool: dict[int, Seat] = {}
        for each in self.seats.get(workload, ()):
            by_pool.setdefault(id(each.manifest), each)
        return list(by_pool.values())
