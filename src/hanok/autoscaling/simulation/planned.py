"""A replica as the planner has it: its pace, its room, its start and its price, of one option of a plan."""

from __future__ import annotations

import math

from hanok.autoscaling.simulation.hardware import Hardware, Reckoned
from hanok.errors import PlanError
from hanok.gpu import Option, Plan
from hanok.gpu.loading import IMAGE_S, USUAL, usual_start_s
from hanok.gpu.planning import roofline_of

NODE_START_S = 90.0
"""From the wish for a node to its being ready for pods, GPU driver included: a judgement."""
MOST_CALLS = 256
"""Calls that vLLM answers at once by default (--max-num-seqs)."""


def hardware_of(plan: Plan, *, name: str) -> Hardware:
    """One replica on the plan's cheapest option. `name` is the model's. Raises `PlanError` where nothing fits."""
    option = next(iter([*plan.options, *plan.slices]), None)
    if option is None:
        raise PlanError(f"no machine can serve {name}", hint="see why: `hanok plan`; change what `deploy` wants")
    machine, split, cost = option.machine, option.split, option.cost
    usd_hour = cost.hour / option.count if cost else None
    spot = (cost.spot_hour[0] / option.count, cost.spot_hour[1] / option.count) if cost else None
    return Hardware(
        title=_title(option),
        pace=Reckoned(roofline_of(option, plan.wanted), MOST_CALLS),
        kv_tokens=max(1, option.fit.kv_tokens),
        context_tokens=plan.wanted.deploy.context_tokens,
        most_calls=MOST_CALLS,
        node_start_s=NODE_START_S + IMAGE_S,
        load_s=usual_start_s(option.fit.weights * split.gpus, USUAL),
        gpus=split.gpus,
        replicas_a_node=1 if machine.profile else max(1, machine.gpus // split.gpus),
        nodes_a_replica=max(1, math.ceil(split.gpus / machine.gpus)),
        usd_hour=usd_hour,
        spot_usd_hour=spot,
    )


def _title(option: Option) -> str:
    gpus = f"{option.split.gpus}× " if option.split.gpus > 1 else ""
    slice_ = f" {option.machine.profile}" if option.machine.profile else ""
    return f"{gpus}{option.machine.device.title}{slice_} ({option.instance})"
