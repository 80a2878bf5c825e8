"""What a namespace allows: ResourceQuotas for all of its pods together, LimitRanges for each of them.

The API server refuses pods beyond either; a Deployment then stays smaller than it was told to be, without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Body, Manifest, at, mapping_at, mappings_at, text_at
from hanok.preflight.quantities import CPU, DISK, MEMORY, PODS, Amounts, add, amounts, quantity, say
from hanok.preflight.scheduling.asks import Ask, container_defaults
from hanok.preflight.wording import listed
from hanok.preflight.workloads import Container

if TYPE_CHECKING:
    from hanok.preflight.case import Case

OVER_QUOTA = Rule(
    "HK325", "error", "more than a namespace's ResourceQuota allows", "raise the quota, or allow fewer replicas at most"
)
OUT_OF_RANGE = Rule(
    "HK326", "error", "a container outside of its namespace's LimitRange", "keep requests and limits within the range"
)
_PLAIN = {CPU: f"requests.{CPU}", MEMORY: f"requests.{MEMORY}", DISK: f"requests.{DISK}"}


def check_quotas(case: Case) -> Iterator[Finding]:
    """Every namespace's pods stay below its quotas, with as many replicas as there may be."""
    by_namespace: dict[str, list[Ask]] = {}
    for ask in case.ground.asks:
        by_namespace.setdefault(ask.workload.namespace, []).append(ask)
    for quota in case.cluster.of("ResourceQuota"):
        spec = mapping_at(quota.body, "spec")
        if quota.group == "" and not (at(spec, "scopes") or at(spec, "scopeSelector")):
            yield from _check_quota(case, quota, by_namespace.get(quota.namespace, []))


def _check_quota(case: Case, quota: Manifest, asks: list[Ask]) -> Iterator[Finding]:
    defaults = _defaults(case, quota.namespace)
    for name, most in amounts_by(mapping_at(quota.body, "spec", "hard")).items():
        key, part = _read(name)
        if not key:
            continue
        each = {ask: _used(ask, key, part, defaults[part]) for ask in asks}
        counts = {ask: used * ask.workload.most for ask, used in each.items() if used * ask.workload.most}
        total = sum(counts.values())
        if total > most:
            yield _over(quota, name, key, total, most, counts)
        elif key in (CPU, MEMORY):
            yield from _silent(quota, name, key, part, asks, defaults[part])


def amounts_by(hard: Body) -> dict[str, int]:
    """What is allowed, by the quota's own names; CPU in thousandths."""
    found: dict[str, int] = {}
    for name, value in hard.items():
        key, _ = _read(str(name))
        number = quantity(value)
        if key and number is not None:
            found[str(name)] = int(number * 1000 if key == CPU else number)
    return found


def _read(name: str) -> tuple[str, str]:
    """The resource and its part (`requests`, `limits`) that a quota's name means; empty where it means neither."""
    if name in ("pods", "count/pods"):
        return PODS, "requests"
    part, _, rest = _PLAIN.get(name, name).partition(".")
    return (rest, part) if part in ("requests", "limits") and rest != "storage" else ("", "requests")


def _defaults(case: Case, namespace: str) -> Mapping[str, Amounts]:
    limits: dict[str, int] = {}
    for each in _ranges(case, namespace):
        if text_at(each, "type") == "Container":
            limits |= amounts(at(each, "default"))
    return {"requests": container_defaults(namespace, case.cluster), "limits": limits}


def _ranges(case: Case, namespace: str) -> Iterator[Body]:
    for manifest in case.cluster.of("LimitRange"):
        if manifest.namespace == namespace:
            yield from mappings_at(manifest.body, "spec", "limits")


def _used(ask: Ask, key: str, part: str, defaults: Amounts) -> int:
    if key == PODS:
        return 1
    if part == "requests" and key in ask.requests:
        return ask.requests[key]
    take = _limits if part == "limits" else _requests
    return add({}, *({**defaults, **take(each)} for each in ask.workload.containers)).get(key, 0)


def _limits(container: Container) -> Amounts:
    return container.limits


def _requests(container: Container) -> Amounts:
    return container.requests


def _over(quota: Manifest, name: str, key: str, total: int, most: int, counts: Mapping[Ask, int]) -> Finding:
    largest = sorted(counts, key=lambda each: (-counts[each], each.workload.title))
    told = listed((f"{each.workload.most}× {each.workload.title} {say(key, counts[each])}" for each in largest), 3)
    message = f"allows {say(key, most)} ({name}); with all replicas, pods take {say(key, total)}: {told}"
    return OVER_QUOTA.on(quota, "spec", "hard", name, message=message)


def _silent(quota: Manifest, name: str, key: str, part: str, asks: list[Ask], defaults: Amounts) -> Iterator[Finding]:
    """Where a quota counts processors or memory, a container that says nothing of them is refused."""
    take: Callable[[Container], Amounts] = _limits if part == "limits" else _requests
    for ask in asks:
        for container in (*ask.workload.containers, *ask.workload.inits):
            if ask.workload.most and not ask.workload.made and key not in {**defaults, **take(container)}:
                message = (
                    f"{quota.title} counts {name}, and container {container.name} has no {part}.{key}: it is refused"
                )
                yield OVER_QUOTA.on(
                    ask.workload.manifest, *container.path, "resources", message=message,
                    hint=f"give it resources.{part}.{key}, or the namespace a LimitRange with a default",
                )  # fmt: skip
                break


def check_ranges(case: Case) -> Iterator[Finding]:
    """Every container stays within the LimitRanges of its namespace."""
    for ask in case.ground.asks:
        ranges = [each for each in _ranges(case, ask.workload.namespace) if text_at(each, "type") == "Container"]
        for each in ranges if ask.workload.most and not ask.workload.made else ():
            for container in (*ask.workload.containers, *ask.workload.inits):
                yield from _check_range(ask, container, each)


def _check_range(ask: Ask, container: Container, allowed: Body) -> Iterator[Finding]:
    """More than the maximum, or less than the minimum, by what the container itself says."""
    for key, most in amounts(at(allowed, "max")).items():
        value = container.limits.get(key, container.requests.get(key, 0))
        if value > most:
            yield _out(ask, container, key, f"{say(key, value)}; the namespace's LimitRange allows {say(key, most)}")
    for key, least in amounts(at(allowed, "min")).items():
        value = container.requests.get(key)
        if value is not None and value < least:
            yield _out(
                ask, container, key, f"{say(key, value)}; the namespace's LimitRange wants at least {say(key, least)}"
            )


def _out(ask: Ask, container: Container, key: str, words: str) -> Finding:
    where = (*container.path, "resources")
    return OUT_OF_RANGE.on(ask.workload.manifest, *where, message=f"container {container.name}, {key}: {words}")


CHECKS = (check_quotas, check_ranges)
