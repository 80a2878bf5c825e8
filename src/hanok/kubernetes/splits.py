"""Splits that a platform file asks for: its engine's flags say how a replica is spread, and the pod must fit. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hanok.errors import PlanError
from hanok.gpu import Catalog, Option, Plan, Split, option_on
from hanok.gpu.catalog import Instance


def split_of(flags: Mapping[str, object]) -> Split | None:
    """How flags of `vllm serve` spread a replica over GPUs; None where they leave that to the planner."""
    sizes = [flags.get(f"{each}-parallel-size") for each in ("tensor", "pipeline")]
    tensor, pipeline = (each if isinstance(each, int) and each > 0 else None for each in sizes)
    return Split(tensor=tensor or 1, pipeline=pipeline or 1) if tensor or pipeline else None


def cheapest_of_split(made: Plan, split: Split, catalog: Catalog) -> Option:
    """The cheapest machine on which a replica can be spread like this. Raises `PlanError` where there is none."""
    names = dict.fromkeys(each.instance for each in [*made.options, *made.misses] if each.machine.profile is None)
    wanted = made.wanted
    tried = [
        option_on(wanted.anatomy, wanted.deploy, catalog, instance=each, split=split)
        for each in names
        if _takes(catalog.instances[each], split)
    ]
    found = [each for each in tried if isinstance(each, Option)]
    if not found:
        message = f"no machine of the catalogue serves it on {split.tensor} × {split.pipeline} GPUs, as its flags say"
        raise PlanError(message, hint="leave `tensor-parallel-size` and `pipeline-parallel-size` to the planner")
    return min(found, key=lambda each: (each.cost.hour if each.cost else math.inf, each.load.tpot_s))


def _takes(host: Instance, split: Split) -> bool:
    """Whether a machine has the GPUs, or several of them have, joined by EFA, a stage each."""
    return split.gpus <= host.gpus or (host.efa > 0 and split.tensor == host.gpus)
