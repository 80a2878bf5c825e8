"""What containers ask for, as the API server takes it: no request above its limit, no half GPU.

Source: `ValidateContainerResourceRequirements` in pkg/apis/core/validation, and k8s.io/kubernetes' notion of extended
resources: names with a domain that is not Kubernetes' own, which cannot be overcommitted.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule, dotted
from hanok.preflight.manifests import Body, Manifest, Step, mapping_at
from hanok.preflight.quantities import CPU, DISK, MEMORY, quantity
from hanok.preflight.schema.alike import look_at
from hanok.preflight.workloads import Workload

ODD_AMOUNT = Rule("HK124", "warning", "an amount that cannot be meant", "write bytes with `Mi` or `Gi`, CPU as `500m`")
OVER_LIMIT = Rule("HK125", "error", "a request above its limit", "raise the limit, or lower the request")
WHOLE_ONLY = Rule(
    "HK126",
    "error",
    "a device that is asked for as if it could be shared",
    "write a whole number under `limits` alone: the request is then the same",
)

Path = tuple[Step, ...]
_STANDARD = (CPU, MEMORY, DISK, "storage")
_PAGES = "hugepages-"


def check_amounts(case: Case) -> Iterator[Finding]:
    """Requests and limits of every container, and of pods as a whole."""
    yield from look_at(case.workloads, _amounts)


def _amounts(workload: Workload) -> Iterator[Finding]:
    for container in workload.everyone:
        yield from _resources(workload.manifest, (*container.path, "resources"))
    yield from _resources(workload.manifest, (*workload.path, "spec", "resources"))


def _resources(manifest: Manifest, path: Path) -> Iterator[Finding]:
    body = mapping_at(manifest.body, *path)
    requests, limits = mapping_at(body, "requests"), mapping_at(body, "limits")
    for field, named in (("requests", requests), ("limits", limits)):
        for name, value in named.items():
            if (found := quantity(value)) is not None:
                yield from _one(manifest, (*path, field, name), name, value, found)
    for name in requests:
        yield from _pair(manifest, path, name, requests, limits)


def _one(manifest: Manifest, path: Path, name: str, value: object, found: Decimal) -> Iterator[Finding]:
    """One amount by itself."""
    place = dotted(path)
    if found < 0:
        yield ODD_AMOUNT.on(manifest, *path, message=f"{place}: {value} is less than nothing", severity="error")
    elif name in (MEMORY, DISK) and not _is_whole(found):
        message = f"{place}: {value} is {float(found):g} bytes; `m` means thousandths"
        yield ODD_AMOUNT.on(manifest, *path, message=message)
    elif _is_extended(name) and not _is_whole(found):
        yield WHOLE_ONLY.on(manifest, *path, message=f"{place}: {value} of a device is not possible")
    elif "/" not in name and name not in _STANDARD and not name.startswith(_PAGES):
        hint = "write `nvidia.com/gpu`" if "gpu" in name.lower() else "devices have names with a domain"
        yield WHOLE_ONLY.on(manifest, *path, message=f"{place}: there is no resource {name!r}", hint=hint)


def _is_whole(found: Decimal) -> bool:
    return found == found.to_integral_value()


def _pair(manifest: Manifest, path: Path, name: str, requests: Body, limits: Body) -> Iterator[Finding]:
    """A request beside its limit."""
    request, limit = quantity(requests[name]), quantity(limits.get(name))
    where = (*path, "requests", name)
    if request is None:
        return
    if _is_extended(name) or name.startswith(_PAGES):
        if name not in limits:
            yield WHOLE_ONLY.on(manifest, *where, message=f"{dotted(where)}: {requests[name]} without the same limit")
        elif limit is not None and limit != request:
            message = f"{dotted(where)}: {requests[name]} is not the limit, {limits[name]}"
            yield WHOLE_ONLY.on(manifest, *where, message=message)
    elif limit is not None and request > limit:
        message = f"{dotted(where)}: {requests[name]} is more than the limit, {limits[name]}"
        yield OVER_LIMIT.on(manifest, *where, message=message)


def _is_extended(name: str) -> bool:
    domain, slash, _ = name.partition("/")
    return bool(slash) and domain != "kubernetes.io" and not domain.endswith(".kubernetes.io")


CHECKS = (check_amounts,)
