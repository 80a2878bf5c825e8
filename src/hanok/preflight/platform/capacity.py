"""Whether the machines of a platform file's models may be had: GPUs, and processors of the cloud account.

It is proved at the most replicas: what holds for the fewest says little of a busy day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hanok.preflight.findings import Finding, Rule
from hanok.preflight.platform.planned import Planned
from hanok.preflight.scheduling.limits import MAYBE_OVER_QUOTA, QUOTAS, Quota
from hanok.preflight.scheduling.types import vcpus
from hanok.preflight.wording import listed

if TYPE_CHECKING:
    from hanok.preflight.case import Case

TOO_MANY_GPUS = Rule(
    "HK717",
    "error",
    "more GPUs than the cluster may have",
    "raise `cluster.nodes.gpus`, or lower `scale.max` of a model",
)
TOO_FEW_REPLICAS = Rule(
    "HK718",
    "warning",
    "a load that the most replicas cannot take",
    "raise `scale.max`, or choose larger machines by `deploy.gpu`; `hanok plan` shows them",
)
NAMED = 4


def check_gpus(case: Case) -> Iterator[Finding]:
    """`cluster.nodes.gpus` is enough for every model at its most replicas."""
    for declared in case.platforms:
        cluster = declared.loaded.platform.cluster if declared.loaded else None
        allowed = cluster.nodes.gpus if cluster else None
        taken = {each: _gpus(each) for each in case.planned if each.declared is declared and each.best}
        needed = sum(taken.values())
        if allowed is not None and needed > allowed:
            names = listed((f"{each.model.name} {count}" for each, count in taken.items() if count), NAMED)
            message = (
                f"at the most replicas models take {needed} GPUs ({names}), as whole machines; allowed are {allowed}"
            )
            yield TOO_MANY_GPUS.on(declared.manifest, "cluster", "nodes", "gpus", message=message)


def _gpus(planned: Planned) -> int:
    """GPUs of its machines at the most replicas; a slice is counted by nobody here."""
    best = planned.best
    return planned.machines[1] * best.machine.gpus if best and not best.machine.profile else 0


def check_load(case: Case) -> Iterator[Finding]:
    """A declared load, and fewer replicas than it needs even at the most."""
    for each in case.planned:
        best, most = each.best, each.replicas[1]
        if best is None or best.replicas <= most or not each.deploy.model_fields_set & {"load", "concurrency"}:
            continue
        wanted = f"{each.deploy.concurrency} calls at once"
        if each.deploy.load.requests_per_s:
            wanted += f" and {each.deploy.load.requests_per_s:g} a second"
        message = f"{each.model.name}: {wanted} take {best.replicas} replicas on {best.instance}; `scale` allows {most}"
        yield TOO_FEW_REPLICAS.on(each.declared.manifest, "models", each.index, "scale", "max", message=message)


def check_quotas(case: Case) -> Iterator[Finding]:
    """The cloud account may start the machines of all planned models at the most replicas."""
    models = [each for each in case.bill.models if each.best]
    for quota in QUOTAS if case.facts.quotas else ():
        for spot, code in ((False, quota.on_demand), (True, quota.spot)):
            own = [each for each in models if each.deploy.spot is spot and _is_of(each, quota)]
            allowed = case.facts.quotas.get(code)
            if own and allowed is not None and _processors(own) > allowed:
                yield _over(own, quota, code, allowed)


def _is_of(planned: Planned, quota: Quota) -> bool:
    return planned.best is not None and quota.families.match(planned.best.instance) is not None


def _processors(models: Sequence[Planned]) -> int:
    return sum(each.machines[1] * vcpus(each.best.host) for each in models if each.best)


def _over(models: Sequence[Planned], quota: Quota, code: str, allowed: float) -> Finding:
    told = listed(
        (f"{each.machines[1]}× {each.best.instance} ({each.model.name})" for each in models if each.best), NAMED
    )
    message = f"{quota.title} instances: at the most replicas {told} have {_processors(models)} vCPUs, and the account "
    message += f"may run {allowed:g} ({code})"
    return MAYBE_OVER_QUOTA.on(models[0].declared.manifest, "models", models[0].index, message=message)


CHECKS = (check_gpus, check_load, check_quotas)
