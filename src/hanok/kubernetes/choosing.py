"""Which GPUs an engine is given: the cheapest on which it does as its model is wanted. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hanok.errors import PlanError
from hanok.gpu import Anatomy, Catalog, Option, Plan, Split, option_on, plan
from hanok.gpu.catalog import Instance
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
        found = self._by_choice(made) if split is None else self._spread_so(made, split)
        if not found:
            raise _nothing(made, split)
        return found[0]

    def _by_choice(self, made: Plan) -> Sequence[Option]:
        found = [*made.options[:1], *made.slices[:1]]
        return sorted(found, key=_usd_hour) if self.sliced else found

    def _spread_so(self, made: Plan, split: Split) -> Sequence[Option]:
        """Every machine on which a replica can be spread like this, cheapest first."""
        wanted = made.wanted
        names = dict.fromkeys(each.instance for each in [*made.options, *made.misses] if each.machine.profile is None)
        tried = [
            option_on(wanted.anatomy, wanted.deploy, self.catalog, instance=each, split=split)
            for each in names
            if _takes(self.catalog.instances[each], split)
        ]
        found = [each for each in tried if isinstance(each, Option)]
        return sorted(found, key=lambda each: (_usd_hour(each), each.load.tpot_s))


def _usd_hour(option: Option) -> float:
    return option.cost.hour if option.cost else math.inf


def _takes(host: Instance, split: Split) -> bool:
    """Whether a machine has the GPUs, or several of them have, joined by EFA, a stage each."""
    return split.gpus <= host.gpus or (host.efa > 0 and split.tensor == host.gpus)


def _nothing(made: Plan, split: Split | None) -> PlanError:
    if split is not None:
        message = f"no machine of the catalogue serves it on {split.tensor} × {split.pipeline} GPUs, as its flags say"
        return PlanError(message, hint="leave `tensor-parallel-size` and `pipeline-parallel-size` to the planner")
    hint = "; ".join(words for words, _ in made.remedies[:3])
    return PlanError("no machine of the catalogue serves it", hint=f"it would fit with {hint}" if hint else None)
