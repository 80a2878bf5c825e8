"""Which GPUs an engine is given: the cheapest on which it does as its model is wanted. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hanok.errors import PlanError
from hanok.gpu import Anatomy, Catalog, Option, Split, plan
from hanok.kubernetes.splits import cheapest_of_split
from hanok.spec.tree import Deploy


@dataclass(frozen=True, kw_only=True, eq=False)
class Chooser:
    """Finds each engine its GPUs. `sliced`: slices of GPUs count, too, at their share of a machine's price."""

    catalog: Catalog
    anatomy: Callable[[str], Anatomy]
    sliced: bool

    def cheapest(self, anatomy: Anatomy, deploy: Deploy, split: Split | None = None) -> Option:
        """Whole machines, unless slices are asked for: the rest of a sliced GPU may stand idle.

        With `split`, only where a replica can be spread so. Raises `PlanError` where nothing fits.
        """
        made = plan(anatomy, deploy, self.catalog)
        if split is not None:
            return cheapest_of_split(made, split, self.catalog)
        found = [*made.options[:1], *made.slices[:1]]
        if not found:
            hint = "; ".join(words for words, _ in made.remedies[:3])
            raise PlanError("no machine of the catalogue serves it", hint=f"it would fit with {hint}" if hint else None)
        return min(found, key=_usd_hour) if self.sliced else found[0]


def _usd_hour(option: Option) -> float:
    return option.cost.hour if option.cost else math.inf
