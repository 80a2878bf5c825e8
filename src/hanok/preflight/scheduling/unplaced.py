"""Pods that no node takes, and pools that no pod can land on.

A pod that asks for GPUs, or that is meant for a pool in the tree, has to find its node here. Others may find one in a
node group that stands elsewhere: that is left open, and said once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Body, list_at, mapping_at, mappings_at
from hanok.preflight.quantities import say
from hanok.preflight.scheduling.asks import Ask
from hanok.preflight.scheduling.misses import SHOWN, Miss, helping, misses, wanted_labels, wishes
from hanok.preflight.scheduling.pools import Pool
from hanok.preflight.scheduling.seating import Ground
from hanok.preflight.scheduling.taints import Taint, Toleration, read_tolerations, untolerated
from hanok.preflight.scheduling.types import TYPE
from hanok.preflight.wording import listed
from hanok.preflight.workloads import GPU

if TYPE_CHECKING:
    from hanok.preflight.case import Case

NO_SEAT = Rule("HK301", "error", "a pod that no node takes", "give a pool what the pod asks for, or ask for less")
ELSEWHERE = Rule(
    "HK302",
    "info",
    "pods that may run on nodes which are not here",
    "add the node groups that take them: NodePools, or `kubectl get nodes -o yaml`",
    open=True,
)
NO_POOLS = Rule(
    "HK303",
    "info",
    "no nodes are known",
    "add the cluster's NodePools, or its nodes: `kubectl get nodes -o yaml > nodes.yaml`",
    open=True,
)
UNKNOWN_TYPE = Rule(
    "HK304",
    "warning",
    "an instance type that is not known",
    "mind the spelling; or bring a catalogue that has it: `--catalog FILE`",
    open=True,
)
IDLE_POOL = Rule(
    "HK305",
    "warning",
    "a pool that nothing can land on",
    "let pods tolerate its taints and ask for its labels, or take the pool out",
)
EMPTY_POOL = Rule(
    "HK306", "error", "a pool whose requirements no instance type meets", "loosen one of its requirements"
)
NO_PROVIDER = Rule(
    "HK307",
    "info",
    "a resource whose provider is not known",
    "make sure that a device plugin offers it on the nodes that the pod may run on",
    open=True,
)
TIGHT = Rule(
    "HK308",
    "warning",
    "a pod that fits only on an empty node",
    "ask for a little less, or for a larger instance type",
    open=True,
)
NOT_OFFERED = Rule(
    "HK309", "error", "a resource that no node offers", "ask for what the nodes offer, or have them offer this"
)
ADDED = Rule(
    "HK310",
    "warning",
    "a toleration that not every cluster adds",
    "write the toleration: then it holds on any cluster",
)
_TAINTS = ("spec", "template", "spec", "taints")
NAMED = 5
"""Pods that are called by name where there are many."""


def check_pods(case: Case) -> Iterator[Finding]:
    """Every pod has a node that takes it."""
    ground = case.ground
    pods = [each for each in ground.pods if each.workload.most]
    if not ground.pools:
        if pods:
            message = f"whether {_count(pods)} can be scheduled is not known: there is no NodePool and no node here"
            yield NO_POOLS.on(pods[0].workload.manifest, message=message)
        return
    elsewhere: list[Ask] = []
    for ask in pods:
        if ask.workload not in ground.seats:
            found = _judge(ground, ask)
            if found is None:
                elsewhere.append(ask)
            else:
                yield found
    if elsewhere:
        names = listed((each.workload.title for each in elsewhere), NAMED)
        nearest = misses(ground, elsewhere[0])
        why = f"; of {elsewhere[0].workload.title}, {nearest[0]}" if nearest else ""
        message = f"no pool here takes {names}: other nodes may{why}"
        yield ELSEWHERE.on(elsewhere[0].workload.manifest, message=message)


def check_tolerations(case: Case) -> Iterator[Finding]:
    """Pods that only the API server's own toleration of devices' taints lets onto a node."""
    found: dict[tuple[object, ...], Taint | None] = {}
    for ask in case.ground.pods:
        taint = _lacking(case.ground, ask, found) if ask.extended else None
        if taint:
            message = (
                f"does not tolerate `{taint}` itself: EKS adds that to pods that ask for {taint.key}, "
                "clusters without ExtendedResourceToleration do not, and the pod stays Pending there"
            )
            path = () if ask.workload.made else ("spec",)
            yield ADDED.on(ask.workload.manifest, *ask.workload.path, *path, message=message)


def _lacking(ground: Ground, ask: Ask, known: dict[tuple[object, ...], Taint | None]) -> Taint | None:
    """The first taint that the pod itself does not tolerate, where every pool that would take it has such a one.

    `known` is kept by what decides it: which pools take the pod, and what it tolerates.
    """
    listed = mappings_at(ask.workload.spec, "tolerations")
    key = (*ground.kind(ask), repr(listed))
    if key not in known:
        declared = read_tolerations(listed)
        found = [untolerated(pool.taints, declared) for pool in ground.reach(ask) if ground.fitting(ask, pool)]
        known[key] = found[0] if found and all(found) else None
    return known[key]


def _count(pods: Sequence[Ask]) -> str:
    return "one kind of pod" if len(pods) == 1 else f"{len(pods)} kinds of pods"


def _judge(ground: Ground, ask: Ask) -> Finding | None:
    """What to say of a pod without a seat; None where nodes elsewhere may take it."""
    if any(pool.is_open and _might_take(ground, ask, pool) for pool in ground.pools):
        return None
    found = misses(ground, ask)
    missing = _not_offered(ground, ask)
    if missing:
        return missing
    if any(ground.just_fitting(ask, pool) for pool in ground.pools):
        return _tight(ground, ask)
    if not ask.extended and not _is_aimed(ask, found):
        return None
    return _no_seat(ground, ask, found)


def _might_take(ground: Ground, ask: Ask, pool: Pool) -> bool:
    """Whether a pool that is not wholly known has nothing against the pod but what is not known."""
    return ground.reachable(ask, pool) is not None


def _is_aimed(ask: Ask, found: Sequence[Miss]) -> bool:
    """Whether a pod without GPUs is meant for a pool here: it suits but for its size, or asks for the pool by label."""
    near = [each for each in found if not each.kept_off]
    if any(each.pool.cloud == "node" for each in found) and all(each.pool.cloud == "node" for each in found):
        return True
    return any(_is_ordinary(each.pool) or wanted_labels(ask) for each in near)


def _is_ordinary(pool: Pool) -> bool:
    """Whether pods without GPUs are at home there."""
    return not pool.taints


def _no_seat(ground: Ground, ask: Ask, found: Sequence[Miss]) -> Finding:
    part = f"its {ask.workload.part} pods" if ask.workload.part else "it"
    lines = [f"no node takes {part}: each pod asks for {wishes(ask)}"]
    if ask.extended and not any(_has_devices(ground, pool) for pool in ground.pools):
        lines.append("no pool here starts nodes with accelerators")
    lines += [f"· {each}" for each in found[:SHOWN]]
    if len(found) > SHOWN:
        lines.append(f"· and {len(found) - SHOWN} more pools are further off")
    return NO_SEAT.on(
        ask.workload.manifest, *ask.workload.path, "spec", message="\n".join(lines), hint=helping(ground, ask, found)
    )


def _has_devices(ground: Ground, pool: Pool) -> bool:
    return any(ground.host(pool, name).gpus for name in pool.names)


def _tight(ground: Ground, ask: Ask) -> Finding:
    pool, name = next((pool, name) for pool in ground.pools for name in ground.just_fitting(ask, pool))
    assumed = ", ".join(say(each, value) for each, value in ground.assumed.items())
    message = (
        f"asks for {wishes(ask)}: {name} in pool {pool.name} has just enough, but {assumed} are taken by what usually "
        "runs on each node (aws-node and kube-proxy)"
    )
    return TIGHT.on(ask.workload.manifest, *ask.workload.path, "spec", message=message)


def _not_offered(ground: Ground, ask: Ask) -> Finding | None:
    """A resource that no pool offers at all, or not to both the one who starts nodes and the pod."""
    for resource, wanted in ask.extended.items():
        seen = [pool for pool in ground.pools if _offers(ground, pool, resource, "seen")]
        real = [pool for pool in ground.pools if _offers(ground, pool, resource, "real")]
        if set(seen) & set(real) or (resource == GPU and not seen and not real):
            continue
        message, hint = _offer_words(ground, resource, seen, real)
        place = _place(ask, resource)
        return NOT_OFFERED.on(
            ask.workload.manifest, *place, message=f"asks for {say(resource, wanted)}, and {message}", hint=hint
        )
    return None


def _place(ask: Ask, resource: str) -> tuple[str | int, ...]:
    for container in ask.workload.containers:
        for part in ("limits", "requests"):
            if resource in (container.limits if part == "limits" else container.requests):
                return (*container.path, "resources", part, resource)
    return (*ask.workload.path, "spec")


def _offers(ground: Ground, pool: Pool, resource: str, part: str) -> bool:
    rooms = (ground.room(pool, name) for name in pool.names)
    return any((each.seen if part == "seen" else each.real).get(resource, 0) > 0 for each in rooms)


def _offer_words(ground: Ground, resource: str, seen: Sequence[Pool], real: Sequence[Pool]) -> tuple[str, str | None]:
    if real:
        pool = real[0].name
        return (
            f"nodes of pool {pool} offer it once they run, but Karpenter does not know: it starts none for this pod",
            f"add a NodeOverlay (karpenter.sh/v1alpha1) with `capacity: {{{resource}: …}}` for the pool's types",
        )
    if seen:
        pool = seen[0]
        name = min(pool.names)
        instead = sorted(each for each in ground.room(pool, name).real if each.startswith("nvidia.com/"))
        return f"nodes of pool {pool.name} offer {', '.join(instead) or 'nothing of the kind'} instead", None
    known = {each for pool in ground.pools for name in pool.names for each in ground.room(pool, name).free}
    near = difflib.get_close_matches(resource, sorted(known), n=1)
    return "no pool here offers it", f"did you mean `{near[0]}`?" if near else None


def check_resources(case: Case) -> Iterator[Finding]:
    """Resources that pods ask for are such as somebody is known to offer."""
    if not case.ground.pools:
        return
    told: set[str] = set()
    for ask in case.ground.pods:
        for resource in ask.unjudged:
            if resource not in told and ask.workload.most:
                told.add(resource)
                yield NO_PROVIDER.on(
                    ask.workload.manifest,
                    *_place(ask, resource),
                    message=f"asks for {resource}: who offers it is not known",
                )


def check_types(case: Case) -> Iterator[Finding]:
    """Instance types that pools name exist, and some meet all that the pool requires."""
    known = sorted(case.ground.types.names)
    for pool in case.ground.pools:
        if not pool.cloud:
            message = "starts nodes of a cloud whose instance types are not known: its pods are taken on trust"
            yield UNKNOWN_TYPE.on(pool.manifest, "spec", "template", "spec", "nodeClassRef", message=message)
        elif pool.missing:
            yield _unknown_types(pool, known)
        elif not pool.names and pool.cloud != "node":
            yield _empty(case.ground, pool)


def _place_of(pool: Pool, key: str) -> tuple[str | int, ...]:
    requirements = mappings_at(pool.manifest.body, "spec", "template", "spec", "requirements")
    index = next((index for index, each in enumerate(requirements) if each.get("key") == key), None)
    where = ("spec", "template", "spec", "requirements")
    return where if index is None else (*where, index)


def _unknown_types(pool: Pool, known: Sequence[str]) -> Finding:
    near = {each: difflib.get_close_matches(each, known, n=1, cutoff=0.8) for each in pool.missing}
    told = [f"{each} (did you mean {close[0]}?)" if close else each for each, close in near.items()]
    message = f"names {', '.join(told)}: no such instance type is known"
    return UNKNOWN_TYPE.on(pool.manifest, *_place_of(pool, TYPE), message=message)


def _empty(ground: Ground, pool: Pool) -> Finding:
    """Names the requirement without which some type would be left."""
    names, said = ground.types.names, ""
    for key, each in pool.choices.items():
        left = names & ground.types.left_by(key, each)
        if names and not left:
            said = key
        names = left
    wanted = pool.choices[said] if said else ""
    message = f"no instance type that meets its other requirements has `{said}` {wanted}"
    return EMPTY_POOL.on(pool.manifest, *_place_of(pool, said), message=message)


def check_idle(case: Case) -> Iterator[Finding]:
    """Something in the tree can land on each pool that keeps pods off."""
    ground = case.ground
    pods = [each for each in ground.pods if each.workload.most]
    for pool in ground.pools:
        if (
            pods
            and pool.taints
            and pool.cloud in ("ec2", "auto")
            and not any(ground.suits(each, pool) for each in pods)
        ):
            if untolerated(pool.taints, list(_tolerations(case))) is None:
                continue
            tolerating = [each for each in pods if untolerated(pool.taints, each.tolerations) is None]
            if tolerating:
                why = f"{tolerating[0].workload.title} tolerates its taints, but asks for labels that it does not give"
            else:
                why = f"nothing here tolerates its taint `{pool.taints[0]}`"
            yield IDLE_POOL.on(pool.manifest, *_TAINTS, message=f"starts nodes for nobody: {why}")


def _tolerations(case: Case) -> Iterator[Toleration]:
    """Those that stand anywhere in custom resources and values of charts: of what makes pods that are not seen here."""
    seen = {each.workload.manifest for each in case.ground.asks}
    for manifest in case.cluster.manifests:
        if manifest not in seen and manifest.kind != "NodePool":
            yield from read_tolerations(_held(manifest.body))


def _held(value: object) -> Iterator[Body]:
    yield from mappings_at(value, "tolerations")
    for each in (*mapping_at(value).values(), *list_at(value)):
        yield from _held(each)


CHECKS = (check_pods, check_tolerations, check_resources, check_types, check_idle)
