"""Machines of jobs: what one of them has, whether AWS makes it by its type or it is one's own. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hanok.errors import Problem
from hanok.gpu.catalog import Instance
from hanok.kubernetes.plan import ClusterPlan

MAKER = "nvidia"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What pods may ask of one machine; `accelerator` is what its GPUs are called."""

    accelerator: str
    gpus: int
    cpu: float
    memory_mib: int
    efa: int = 0


def machine_of_jobs(plan: ClusterPlan) -> Machine | None:
    """One machine of jobs; None where jobs have none. What the target cannot have has been refused."""
    jobs, known = plan.cluster.jobs, plan.catalog.instances.get(plan.cluster.jobs.gpu)
    if not jobs.gpus:
        return None
    if jobs.machine is not None:
        own = jobs.machine
        named = "GPUs" if "gpu" not in jobs.model_fields_set else known.accelerator if known else jobs.gpu
        return Machine(accelerator=named, gpus=own.gpus, cpu=own.cpu, memory_mib=int(own.memory_gib * 1024))
    return _of_type(known) if known else None


def _of_type(known: Instance) -> Machine:
    return Machine(
        accelerator=known.accelerator, gpus=known.gpus, cpu=known.cpu, memory_mib=known.memory_mib, efa=known.efa
    )


# --- What a target cannot have ----------------------------------------------------------------------------------------


def refuse_jobs(plan: ClusterPlan) -> Iterator[Problem]:
    """Machines that nobody knows, and what there is on AWS alone."""
    yield from _unknown(plan)
    yield from _of_aws(plan) if not plan.on_aws else _of_ones_own(plan)


def _unknown(plan: ClusterPlan) -> Iterator[Problem]:
    jobs, known = plan.cluster.jobs, plan.catalog.instances.get(plan.cluster.jobs.gpu)
    if not jobs.gpus or (jobs.machine is not None and not plan.on_aws):
        return
    if known is None or plan.catalog.accelerators[known.accelerator].maker != MAKER:
        if jobs.gpu in plan.catalog.accelerators:
            message = f"{jobs.gpu!r} is a GPU, which does not say how many of them a machine has, and what beside them"
        else:
            message = f"the catalogue has no machine {jobs.gpu!r} for this"
        yield plan.written.problem(("cluster", "jobs", "gpu"), message, _hint(plan))


def _hint(plan: ClusterPlan) -> str:
    """Types that have the GPU that is named; and the way for machines of one's own."""
    types = [
        f"{name} ({each.gpus})" for name, each in plan.catalog.instances.items()
        if each.accelerator == plan.cluster.jobs.gpu and each.share == 1
    ]  # fmt: skip
    written = f"write a type that has it: {', '.join(types)}" if types else "write a type such as p5.48xlarge"
    if plan.on_aws:
        return f"{written}; `hanok catalog show` lists types"
    return (
        f"say what one has, as `machine: {{gpus: 4, cpu: 60, memory_gib: 240}}`; or, where yours are alike, {written}"
    )


def _of_aws(plan: ClusterPlan) -> Iterator[Problem]:
    jobs = plan.cluster.jobs
    for key, what in (("efa", "a network"), ("placement_group", "a thing"), ("fsx_gib", "a file system")):
        if getattr(jobs, key):
            message = f"`{key}` is {what} of AWS, and machines of this target are your own"
            hint = "take it out" + ("; jobs may mount any claim of yours" if key == "fsx_gib" else "")
            yield plan.written.problem(("cluster", "jobs", key), message, hint)


def _of_ones_own(plan: ClusterPlan) -> Iterator[Problem]:
    if plan.cluster.jobs.machine is not None:
        message = "machines come by their type here, which says what they have"
        hint = "take it out, and name the type in `gpu`; `machine` is for the target `kubernetes`"
        yield plan.written.problem(("cluster", "jobs", "machine"), message, hint)
