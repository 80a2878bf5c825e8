"""Every check by its layer, and every rule by its id: the one place that knows all layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import ModuleType

from hanok.preflight import ignores, load, reading, verdict
from hanok.preflight.case import Check
from hanok.preflight.consistency import checks as consistency
from hanok.preflight.cost import checks as cost
from hanok.preflight.findings import Rule
from hanok.preflight.fit import checks as fit
from hanok.preflight.platform import checks as platform
from hanok.preflight.references import checks as references
from hanok.preflight.scheduling import checks as scheduling
from hanok.preflight.schema import checks as schema

COST_LAYER, PLATFORM_LAYER = "cost and availability", "platform"
LAYERS: Mapping[str, Sequence[ModuleType]] = {
    "schema": schema.MODULES,
    "references": references.MODULES,
    "scheduling": scheduling.MODULES,
    "memory": fit.MODULES,
    "consistency": consistency.MODULES,
    COST_LAYER: cost.MODULES,
    PLATFORM_LAYER: platform.MODULES,
}
"""The layers in the order in which they are told. Each module has `CHECKS`, and its rules as constants."""

_OUTSIDE: Sequence[ModuleType] = (reading, load, ignores, verdict)
"""Modules with rules that no check of a layer finds."""


def checks(layer: str) -> Iterator[Check]:
    """The checks of one layer."""
    for module in LAYERS[layer]:
        yield from module.CHECKS


def rules() -> dict[str, Rule]:
    """Every rule, by id."""
    modules = [*_OUTSIDE, *(module for each in LAYERS.values() for module in each)]
    found = {rule for module in modules for rule in _rules_of(module)}
    return {rule.id: rule for rule in sorted(found, key=lambda rule: rule.id)}


def layer_of(rule: Rule) -> str:
    """The layer that a rule belongs to."""
    return _layers()[rule]


@cache
def _layers() -> Mapping[Rule, str]:
    modules = {verdict.FILES: _OUTSIDE, **LAYERS}
    found = ((rule, layer) for layer, its in modules.items() for module in its for rule in _rules_of(module))
    return dict(reversed(list(found)))  # of several layers that name a rule, it is the first one's


def _rules_of(module: ModuleType) -> Iterator[Rule]:
    return (value for value in vars(module).values() if isinstance(value, Rule))
