"""What can be rented, as figures: accelerators, instance types, MIG profiles, prices, and what an engine takes.

One frozen tree, written as `catalog.yaml` beside this file and replaced as a whole by `hanok catalog update`. Figures
carry their unit in their name and their source in the file. Pure: `load.py` reads files.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from hanok.spec.tree import Tree

Number = float
WeightFormat = Literal["bf16", "fp8", "int8", "fp4"]
"""Formats that tensor cores multiply."""


class Accelerator(Tree):
    """One kind of accelerator, whole."""

    title: str = Field(description="Its name as its maker writes it.")
    maker: str = Field(description="Its maker.")
    memory_mib: int | None = Field(default=None, gt=0, description="Memory, MiB.")
    capability: Number | None = Field(default=None, gt=0, description="NVIDIA's compute capability, as 9.0.")
    bandwidth_gb_s: Number | None = Field(default=None, gt=0, description="Memory bandwidth, GB (10⁹ bytes) a second.")
    tflops: dict[WeightFormat, Number] = Field(
        default={}, description="10¹² dense operations a second by format; `bf16` is fp16 where there is no bf16."
    )
    link: str | None = Field(default=None, description="What joins it to its neighbours in one machine.")
    link_gb_s: Number | None = Field(default=None, gt=0, description="Speed of that link one way, GB a second.")
    multiprocessors: int | None = Field(default=None, gt=0, description="Streaming multiprocessors.")
    refused: str | None = Field(default=None, description="Why nothing is planned on it.")
    source: str = Field(description="Where these figures are published.")


class Instance(Tree):
    """One instance type of AWS."""

    accelerator: str = Field(description="A name of `accelerators`; empty in a type without one.")
    gpus: int = Field(ge=0, description="Accelerators in it; a share of one counts as one.")
    share: Number = Field(default=1.0, gt=0, le=1, description="The share of one accelerator, where it is split.")
    arch: Literal["amd64", "arm64"] = Field(default="amd64", description="Processor architecture.")
    cpu: Number = Field(gt=0, description="Processors that pods may ask for.")
    memory_mib: int = Field(gt=0, description="Memory that pods may ask for, MiB.")
    efa: int = Field(default=0, ge=0, description="EFA interfaces.")
    nvme_gb: int = Field(default=0, ge=0, description="Local NVMe, GB.")
    network_mbps: int = Field(gt=0, description="Network, Mbit a second.")
    usd_hour: Number | None = Field(default=None, gt=0, description="On demand, USD an hour; none where not sold so.")
    vcpus: int | None = Field(default=None, gt=0, description="Processors that it is sold with.")
    installed_mib: int | None = Field(default=None, gt=0, description="Memory that it is sold with, MiB.")
    pods: int | None = Field(default=None, gt=0, description="Pods that its network takes.")


class Family(Tree):
    """Instance types without accelerators that differ in size alone. `hosts.py` reckons their figures."""

    arch: Literal["amd64", "arm64"] = Field(default="amd64", description="Processor architecture.")
    gib_per_vcpu: Number = Field(gt=0, description="Memory that goes with a processor, GiB.")
    usd_vcpu_hour: Number = Field(gt=0, description="On demand, USD an hour for a processor with its memory.")
    nvme_gb_per_vcpu: Number = Field(default=0, ge=0, description="Local NVMe that goes with a processor, GB.")
    sizes: list[str] = Field(min_length=1, description="As `large`.")
    memory_gib: dict[str, Number] = Field(default={}, description="Memory of sizes that break the rule.")
    usd_hour: dict[str, Number] = Field(default={}, description="Price of sizes that break the rule.")


class Slice(Tree):
    """One MIG profile of an accelerator."""

    count: int = Field(ge=1, description="As many fit on one accelerator.")
    memory_mib: int = Field(gt=0, description="Memory of one, MiB.")
    compute: Number = Field(gt=0, le=1, description="Its share of the accelerator's multiprocessors.")


class Share(Tree):
    """A share of something, between two figures, and why."""

    low: Number = Field(gt=0, le=1, description="At least.")
    high: Number = Field(gt=0, le=1, description="At most.")
    note: str = Field(description="Where it comes from.")


class Overheads(Tree):
    """What vLLM takes of each GPU beside weights and KV cache, GiB."""

    memory_utilization: Number = Field(gt=0, le=1, description="vLLM's default of --gpu-memory-utilization.")
    activation_gib: dict[str, Number] = Field(description="Peak of activations, by architecture.")
    activation_dense_gib: Number = Field(ge=0, description="The same for other dense models.")
    activation_moe_gib: Number = Field(ge=0, description="The same for other models with experts.")
    activation_multimodal_gib: Number = Field(ge=0, description="The same for other models that see.")
    non_torch_gib: dict[Literal["alone", "stage", "tensor"], Number] = Field(
        description="Outside of PyTorch: one GPU, one GPU a pipeline stage, several GPUs a stage."
    )
    max_sequences: int = Field(ge=1, description="vLLM's default of --max-num-seqs.")
    source: str = Field(description="Where these figures are published.")


class ApiPrice(Tree):
    """What somebody's API takes for a model of a size, USD per million tokens."""

    model: str = Field(description="The model.")
    parameters_b: Number = Field(gt=0, description="Its parameters, 10⁹.")
    input: Number = Field(ge=0, description="Per million prompt tokens.")
    output: Number = Field(ge=0, description="Per million completion tokens.")


class ApiPrices(Tree):
    """Prices of APIs, for comparison."""

    date: datetime.date = Field(description="When they held.")
    source: str = Field(description="Where they are published.")
    prices: list[ApiPrice] = Field(min_length=1, description="One a model.")


class Catalog(Tree):
    """All of it."""

    date: datetime.date = Field(description="When the prices held.")
    region: str = Field(description="Where the prices hold.")
    sources: list[str] = Field(min_length=1, description="Where the figures come from.")
    spot: Share = Field(description="What spot costs, as a share of on demand: an assumption, not a price.")
    overheads: Overheads = Field(description="What the engine takes.")
    accelerators: dict[str, Accelerator] = Field(min_length=1, description="By name.")
    instances: dict[str, Instance] = Field(min_length=1, description="By AWS's name of the type.")
    families: dict[str, Family] = Field(default={}, description="Instance types without accelerators, by family.")
    mig: dict[str, dict[str, Slice]] = Field(description="Profiles by accelerator, by NVIDIA's name of the profile.")
    apis: ApiPrices = Field(description="What APIs take for models of the same size.")

    def accelerator_of(self, instance: str) -> Accelerator:
        """The accelerator in this type of instance. Raises `KeyError`."""
        return self.accelerators[self.instances[instance].accelerator]


def unknown_accelerators(catalog: Catalog) -> list[tuple[tuple[str, ...], str]]:
    """Places that name an accelerator which is not there, and the name."""
    used = {("instances", name, "accelerator"): each.accelerator for name, each in catalog.instances.items()}
    used |= {("mig", name): name for name in catalog.mig}
    return [(place, name) for place, name in used.items() if name not in catalog.accelerators]


def changes(old: Catalog, new: Catalog) -> list[str]:
    """What `new` says otherwise than `old`, in words."""
    told = [f"date {old.date} → {new.date}"] if old.date != new.date else []
    for what in ("accelerators", "instances", "mig"):
        told += _changed(what.rstrip("s"), getattr(old, what), getattr(new, what))
    return told + [name for name in ("region", "spot", "overheads", "apis") if getattr(old, name) != getattr(new, name)]


def _changed(what: str, old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    told = [f"{what} {name} removed" for name in old if name not in new]
    told += [f"{what} {name} added" for name in new if name not in old]
    return told + [
        f"{what} {name}: {_fields(old[name], new[name])}" for name in new if name in old and old[name] != new[name]
    ]


def _fields(old: object, new: object) -> str:
    if not isinstance(new, Tree):
        return "changed"
    differ = [name for name in type(new).model_fields if getattr(old, name) != getattr(new, name)]
    return ", ".join(f"{name} {getattr(old, name)} → {getattr(new, name)}" for name in differ)
