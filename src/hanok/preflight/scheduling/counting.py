"""How many nodes there will be, with as few and as many replicas as there may be, and who finds no room on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from hanok.preflight.placement import Capacity, Placement
from hanok.preflight.scheduling.asks import Ask
from hanok.preflight.scheduling.packing import Packed, nodes_of, pack
from hanok.preflight.scheduling.search import can_place
from hanok.preflight.scheduling.seating import Ground

CHEAP: tuple[Capacity, ...] = ("reserved", "spot", "on-demand")
"""What Karpenter tries first."""
SURE: tuple[Capacity, ...] = ("on-demand", "reserved", "spot")
"""What it falls back to: the most that one may have to pay."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Nodes at least and at most."""

    ground: Ground

    @cached_property
    def least(self) -> Packed:
        fewest = self._counts("least")
        return self.most if fewest == self.wanted else pack(self.ground, fewest)

    @cached_property
    def most(self) -> Packed:
        return pack(self.ground, self.wanted)

    @cached_property
    def wanted(self) -> Mapping[Ask, int]:
        """Pods that have a seat, by how many there may be at most."""
        return self._counts("most")

    def _counts(self, which: Literal["least", "most"]) -> dict[Ask, int]:
        found = {each: each.workload.least if which == "least" else each.workload.most for each in self.ground.pods}
        return {each: count for each, count in found.items() if count and each.workload in self.ground.seats}

    @cached_property
    def has_room(self) -> bool | None:
        """Whether everything can be placed with as many replicas as there may be; None where nobody can say."""
        return True if not self.most.left else can_place(self.ground, self.wanted)

    @cached_property
    def placement(self) -> Placement:
        least, most = nodes_of(self.ground, self.least, CHEAP), nodes_of(self.ground, self.most, SURE)
        return Placement(
            seats=self.ground.seats,
            firsts=self.ground.first_seats,
            machines=self.ground.machines,
            least=least,
            most=most,
        )
