"""Which GPUs an engine is given: the cheapest on which it does as its model is wanted. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from hanok.errors import PlanError
from hanok.gpu import Anatomy, Catalog, Option, Split, plan
from hanok.gpu.catalog import Instance
from hanok.kubernetes.splits import cheapest_of_split
from hanok.spec.tree import Deploy

LEAST_ON_ARM = 8.0
"""The least compute capability that vLLM's image for arm64 has code for."""


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
        made = plan(anatomy, deploy, self._built_for)
        if split is not None:
            return cheapest_of_split(made, split, self._built_for)
        found = [*made.options[:1], *made.slices[:1]]
        if not found:
            hint = "; ".join(words for words, _ in made.remedies[:3])
            raise PlanError("no machine of the catalogue serves it", hint=f"it would fit with {hint}" if hint else None)
        return min(found, key=_usd_hour) if self.sliced else found[0]

    @cached_property
    def _built_for(self) -> Catalog:
        """The catalogue with those machines that vLLM's image has code for."""
        kept = {name: each for name, each in self.catalog.instances.items() if _has_code(each, self.catalog)}
        return self.catalog.model_copy(update={"instances": kept})


def _has_code(instance: Instance, catalog: Catalog) -> bool:
    """For arm64 vLLM and PyTorch are built for newer GPUs alone: on a T4G no kernel starts."""
    capability = catalog.accelerators[instance.accelerator].capability
    return instance.arch == "amd64" or capability is None or capability >= LEAST_ON_ARM


def _usd_hour(option: Option) -> float:
    return option.cost.hour if option.cost else math.inf
