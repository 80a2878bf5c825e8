"""What a GPU costs an hour, as the catalogue tells of the instance type that it is in. Pure.

The type is exact where somebody tells it (a label of the node, the user). Else it is the cheapest one, a GPU, that has
this accelerator: an estimate, and told as one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from hanok.gpu.catalog import Catalog, Instance
from hanok.gpu.monitor.readings import Reading

_OTHER_BOARDS = {"pcie", "nvl", "workstation", "max"}
"""Words in names of boards that share a name with those in the catalogue, and are others."""
_ALIKE = 0.15
"""By so much, as a share, may the memory in a name differ from the catalogue's."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """Of one whole GPU."""

    usd_hour: float
    instance: str
    exact: bool
    """The instance type is known, not guessed."""


@dataclass(frozen=True, kw_only=True)
class Pricing:
    """Where prices come from: a catalogue, and the instance types that the user says are in use."""

    catalog: Catalog
    types: Sequence[str] = ()

    def accelerator(self, reading: Reading) -> str | None:
        """The catalogue's name of this GPU, None where it has none."""
        if reading.model not in self._names:
            self._names[reading.model] = accelerator_of(reading.model, self.catalog)
        return self._names[reading.model]

    def price(self, reading: Reading, told: Mapping[str, str]) -> Price | None:
        """What this GPU costs. `told` are instance types by node."""
        known = reading.instance_type or told.get(reading.node)
        if known in self.catalog.instances and (price := self._of(known, exact=True)):
            return price
        accelerator = self.accelerator(reading)
        for name in self.types:
            if self.catalog.instances[name].accelerator == accelerator or accelerator is None:
                return self._of(name, exact=True)
        return self._cheapest.get(accelerator or "")

    def share(self, reading: Reading) -> float:
        """How much of its GPU this is: 1, or a slice's share (`3g` of seven)."""
        if reading.slice is None:
            return 1.0
        units = _units(reading.slice.profile)
        profiles = self.catalog.mig.get(self.accelerator(reading) or "", {})
        return min(1.0, units / max((_units(each) for each in profiles), default=7))

    @cached_property
    def _names(self) -> dict[str, str | None]:
        """Accelerators by the driver's names that were asked for: they are few, and asked for at every look."""
        return {}

    @cached_property
    def _cheapest(self) -> dict[str, Price]:
        """By accelerator, of the types that have whole ones."""
        found: dict[str, Price] = {}
        for name, instance in self.catalog.instances.items():
            price = self._of(name, exact=False) if instance.share == 1 else None
            known = found.get(instance.accelerator)
            if price and (known is None or price.usd_hour < known.usd_hour):
                found[instance.accelerator] = price
        return found

    def _of(self, name: str, *, exact: bool) -> Price | None:
        instance: Instance = self.catalog.instances[name]
        if instance.usd_hour is None:
            return None
        return Price(usd_hour=instance.usd_hour / instance.gpus, instance=name, exact=exact)


def accelerator_of(model: str, catalog: Catalog) -> str | None:
    """The catalogue's name of a GPU that the driver calls `model`: `a100-40gb` for `NVIDIA A100-SXM4-40GB`."""
    words = set(re.split(r"[^a-z0-9]+", model.lower()))
    if words & _OTHER_BOARDS:
        return None
    found = [name for name in catalog.accelerators if set(name.split("-")) <= words and _fits(name, words, catalog)]
    return max(found, key=len, default=None)


def _fits(name: str, words: set[str], catalog: Catalog) -> bool:
    """Whether the memory in the name, if it is there, is that of the catalogue's."""
    sizes = [int(word[:-2]) * 1024 for word in words if re.fullmatch(r"\d{1,4}gb", word)]
    memory_mib = catalog.accelerators[name].memory_mib
    return not sizes or memory_mib is None or any(abs(size - memory_mib) <= _ALIKE * memory_mib for size in sizes)


def _units(profile: str) -> int:
    found = re.match(r"(?:\d+c\.)?(\d)g", profile)
    return int(found[1]) if found else 1
