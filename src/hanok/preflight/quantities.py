"""Amounts as Kubernetes writes them: `500m`, `1.5`, `16Gi`, `1e3`. Whole numbers come out, so that sums are exact.

CPU is in thousandths of a processor, everything else in its own unit (bytes, GPUs, pods); fractions of a unit are
rounded up, as the API server does. Source: k8s.io/apimachinery/pkg/api/resource.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from types import MappingProxyType
from typing import cast

CPU, MEMORY, DISK, PODS = "cpu", "memory", "ephemeral-storage", "pods"
Amounts = Mapping[str, int]
"""Amounts by the name of the resource: CPU in thousandths, bytes, or counts."""
NOTHING: Amounts = MappingProxyType({})
LONGEST = 64
_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d{1,3})|([numkMGTPE]i?|Ki)?)", re.ASCII)
_SUFFIXES: Mapping[str, Decimal] = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal("1e3"), "M": Decimal("1e6"), "G": Decimal("1e9"), "T": Decimal("1e12"), "P": Decimal("1e15"),
    "E": Decimal("1e18"), "Ki": Decimal(1 << 10), "Mi": Decimal(1 << 20), "Gi": Decimal(1 << 30),
    "Ti": Decimal(1 << 40), "Pi": Decimal(1 << 50), "Ei": Decimal(1 << 60),
}  # fmt: skip


def quantity(value: object) -> Decimal | None:
    """The number that a quantity stands for; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return _read(str(value))


@lru_cache(maxsize=4096)
def _read(text: str) -> Decimal | None:
    found = _FORM.fullmatch(text) if len(text) <= LONGEST else None
    if found is None or (found[3] or "") not in _SUFFIXES:
        return None
    try:
        return Decimal(found[1] + (found[2] or "")) * _SUFFIXES[found[3] or ""]
    except InvalidOperation:
        return None


def amount(resource: str, value: object) -> int | None:
    """The quantity of a resource as a whole number, rounded up; None where it is no quantity."""
    found = quantity(value)
    return None if found is None else math.ceil(found * 1000 if resource == CPU else found)


def amounts(value: object) -> dict[str, int]:
    """A mapping of quantities, as under `requests`; what is no quantity is left out."""
    if not isinstance(value, Mapping):
        return {}
    pairs = ((str(name), amount(str(name), each)) for name, each in cast("Mapping[object, object]", value).items())
    return {name: each for name, each in pairs if each is not None}


def add(first: Amounts, *others: Amounts) -> dict[str, int]:
    """Their sum, resource by resource."""
    total = dict(first)
    for other in others:
        for name, each in other.items():
            total[name] = total.get(name, 0) + each
    return total


def most(first: Amounts, *others: Amounts) -> dict[str, int]:
    """The largest of each resource."""
    total = dict(first)
    for other in others:
        for name, each in other.items():
            total[name] = max(total.get(name, 0), each)
    return total


def times(first: Amounts, count: int) -> dict[str, int]:
    """So many times as much."""
    return {name: each * count for name, each in first.items()}


def say(resource: str, value: int) -> str:
    """The amount for people: `1.5 CPU`, `200 GiB`, `4 nvidia.com/gpu`."""
    if resource == CPU:
        return f"{value / 1000:g} CPU"
    if resource in (MEMORY, DISK):
        what = "memory" if resource == MEMORY else "disk"
        return (
            f"{value / (1 << 30):.4g} GiB of {what}" if value >= 1 << 30 else f"{value / (1 << 20):.4g} MiB of {what}"
        )
    return f"{value} {resource}"
