"""Does the model fit: on the GPUs that the pod may land on, with the context that is promised.

Sums are told as `hanok plan` tells them. What misses by no more than the estimate's error is a warning, not an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hanok.gpu import GIB, Catalog
from hanok.gpu.memory import obstacles
from hanok.gpu.planning import memory_reasons
from hanok.gpu.speed import Roofline
from hanok.preflight.case import Case
from hanok.preflight.engines import Engine
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.fit.needs import (
    MIG,
    ORDER,
    SHARED,
    EngineFit,
    Fitting,
    device_of,
    price,
    seats_by_type,
)  # fmt: skip
from hanok.preflight.fit.remedies import remedies
from hanok.preflight.manifests import list_at, mapping_at, text_at
from hanok.preflight.wording import listed
from hanok.preflight.workloads import GPU

NO_ROOM = Rule(
    "HK420", "error", "a model that is too large for its GPUs", "take more or larger GPUs, or smaller weights"
)
SOME_NO_ROOM = Rule(
    "HK421", "error", "a model that is too large for some machines that it may be put on", "take these types out"
)
NO_CONTEXT = Rule("HK422", "error", "a context that the cache cannot hold", "shorten --max-model-len")
TOO_LONG = Rule("HK423", "error", "a context longer than the model's", "shorten --max-model-len")
OTHER_COUNT = Rule("HK424", "error", "GPUs that are not as many as the engine uses", "ask for tensor × pipeline size")
NO_SPLIT = Rule("HK425", "error", "a model that cannot be split so", "choose another --tensor-parallel-size")
NO_KERNEL = Rule("HK426", "error", "GPUs that cannot compute the model", "take newer GPUs, or another format")
CAPACITY = Rule("HK427", "info", "what the cache holds", "nothing to do, if that is enough")
NO_MODEL = Rule(
    "HK428", "info", "a model that is not known", "name a folder with its config.json: `--models DIR`", open=True
)
TIGHT = Rule("HK429", "warning", "a model that just fits, or just does not", "leave a GiB a GPU: estimates err so much")
BIG_CHUNKS = Rule("HK411", "warning", "chunks of prompts that leave no room", "leave --max-num-batched-tokens out")
TURNS = Rule(
    "HK430", "warning", "an engine on a GPU that others use, too", "give it a whole GPU, or a MIG slice of its own"
)

SHOWN = 3
"""Instance types that a message names."""
RAY = ("RayCluster", "RayJob", "RayService")


def check_room(case: Case) -> Iterator[Finding]:
    for found in case.fits:
        bad = [each for each in found.fittings if each.bad]
        if bad and len(bad) == len(found.fittings):
            yield _nowhere(found, case.facts.catalog)
        elif bad and not found.assumed:
            yield _not_everywhere(found, bad)


def _nowhere(found: EngineFit, catalog: Catalog) -> Finding:
    """On the nearest of its machines."""
    fitting = min(found.fittings, key=lambda each: (ORDER.index(each.outcome), each.missing))
    rule, flag = {
        "no context": (NO_CONTEXT, "max-model-len"),
        "no kernel": (NO_KERNEL, "quantization"),
    }.get(fitting.outcome, (NO_ROOM, "tensor-parallel-size"))
    where = _where(found, fitting)
    message = f"{_model(found)} {_fails(fitting)} {where}: {_sum(fitting)}"
    hint = remedies(found, catalog)
    return rule.on(found.engine.workload.manifest, *found.engine.path(flag), message=message, hint=hint or None)


def _model(found: EngineFit) -> str:
    split = found.split
    spread = f" over {split.gpus} GPUs" if split.gpus > 1 else ""
    return f"{found.engine.model}{spread}"


def _fails(fitting: Fitting) -> str:
    return {"no context": "has no room for its context on", "no kernel": "cannot run on"}.get(
        fitting.outcome, "does not fit on"
    )


def _where(found: EngineFit, fitting: Fitting) -> str:
    if found.assumed and len(found.fittings) > 1:
        return f"any instance type with so many GPUs, not even {fitting.seat.instance} ({fitting.title})"
    others = [name for name in seats_by_type(found.fittings) if name != fitting.seat.instance]
    more = f", nor on {listed(others, SHOWN)}" if others else ""
    return f"{fitting.seat.instance} ({fitting.title}){more}"


def _sum(fitting: Fitting) -> str:
    """What is needed and what is there, a GPU."""
    if fitting.outcome == "no kernel":
        return "; ".join(fitting.reasons)
    told = memory_reasons(fitting.fit, sliced=False)
    return f"{'; '.join(told)}, {fitting.missing / GIB:.1f} GiB a GPU too few"


def _not_everywhere(found: EngineFit, bad: Sequence[Fitting]) -> Finding:
    types = list(seats_by_type(bad))
    worst = seats_by_type(bad)[types[0]]
    first = found.first in bad
    told = "is put there first, as the cheapest" if first else "may be put there"
    message = f"{_model(found)} {_fails(worst)} {listed(types, SHOWN)} ({worst.title}), and {told}: {_sum(worst)}"
    good = [name for name in seats_by_type(found.fittings) if name not in types]
    hint = f"leave only {listed(good, SHOWN)} to it" if good else None
    return SOME_NO_ROOM.on(
        found.engine.workload.manifest, *found.engine.path("tensor-parallel-size"), message=message, hint=hint,
        severity="error" if first else "warning",
    )  # fmt: skip


def check_tight(case: Case) -> Iterator[Finding]:
    for found in case.fits:
        fittings = [each for each in found.fittings if each.outcome == "tight"]
        elsewhere = found.assumed and len(fittings) < len(found.fittings)
        if fittings and not elsewhere and not any(each.bad for each in found.fittings):
            yield _tight(found, min(fittings, key=lambda each: price(each.seat)), case.facts.catalog)


def _tight(found: EngineFit, fitting: Fitting, catalog: Catalog) -> Finding:
    left = f"{fitting.fit.kv / GIB:.1f} GiB a GPU are left for the cache"
    left += f", {fitting.fit.sequence / GIB:.1f} GiB for one call" if fitting.keeps else ""
    message = f"{_model(found)} is within the estimate's error on {fitting.seat.instance} ({fitting.title}): {left}"
    hint = remedies(found, catalog) or None
    return TIGHT.on(found.engine.workload.manifest, *found.engine.path("max-model-len"), message=message, hint=hint)


def check_context(case: Case) -> Iterator[Finding]:
    for found in case.fits:
        engine, anatomy = found.engine, found.anatomy
        stretched = {"hf-overrides", "rope-scaling"} & engine.given.keys()
        stretched |= {"VLLM_ALLOW_LONG_MAX_MODEL_LEN"} & engine.container.env.keys()
        if anatomy and not stretched and found.context_tokens > anatomy.longest_tokens:
            message = f"{anatomy.name} takes {anatomy.longest_tokens:,} tokens at most, not {found.context_tokens:,}"
            hint = f"`--max-model-len {anatomy.longest_tokens}`, or stretch it with --hf-overrides"
            yield TOO_LONG.on(engine.workload.manifest, *engine.path("max-model-len"), message=message, hint=hint)


def check_split(case: Case) -> Iterator[Finding]:
    for found in case.fits:
        if told := obstacles(found.anatomy, found.split) if found.anatomy else []:
            path = found.engine.path("tensor-parallel-size")
            yield NO_SPLIT.on(found.engine.workload.manifest, *path, message=f"{found.engine.model}: {'; '.join(told)}")


def check_count(case: Case) -> Iterator[Finding]:
    for engine in case.engines:
        asked = _gpus(engine)
        manifest = engine.workload.manifest
        if _asks_nothing(engine):
            message = "it asks for no GPU: where the runtime does not hand all out to everybody, vLLM finds none"
            yield OTHER_COUNT.on(manifest, *engine.path(), message=message, severity="warning")
        if asked is None or engine.unsettled or manifest.kind in RAY:
            continue
        pods = _pods(engine, case)
        needed, there = _needed(engine), asked * pods
        if needed != there:
            message = _counted(engine, needed, asked, pods)
            path = engine.path("tensor-parallel-size") if needed > there else _resources(engine)
            yield OTHER_COUNT.on(manifest, *path, message=message, severity="error" if needed > there else "warning")


def _counted(engine: Engine, needed: int, asked: int, pods: int) -> str:
    sizes = [("tensor", engine.tensor), ("pipeline", engine.pipeline), ("data", _local(engine))]
    told = " × ".join(f"{name} size {size}" for name, size in sizes if size > 1) or "no parallel size"
    group = f" in each of {pods} pods" if pods > 1 else ""
    use = f"it uses {needed} GPU{'s' if needed > 1 else ''} ({told}) and asks for {asked}{group}"
    return f"{use}: it cannot start" if needed > asked * pods else f"{use}: the others are idle, and paid for"


def _gpus(engine: Engine) -> int | None:
    """GPUs that the container asks for; None where they are not asked for in numbers, or are slices or shares."""
    asked = engine.container.requests
    if any(name.startswith(MIG) or name == SHARED for name in asked):
        return None
    return asked.get(GPU) or None


def _asks_nothing(engine: Engine) -> bool:
    """Whether the CUDA image is given no device of any kind, in no way that is known."""
    devices = [name for name in engine.container.requests if "/" in name]
    claims = list_at(engine.container.body, "resources", "claims") or list_at(engine.workload.spec, "resourceClaims")
    handed = text_at(engine.workload.spec, "runtimeClassName") or "NVIDIA_VISIBLE_DEVICES" in engine.container.env
    return engine.official and not devices and not claims and not handed


def _needed(engine: Engine) -> int:
    return engine.tensor * engine.pipeline * _local(engine)


def _local(engine: Engine) -> int:
    """Copies of the model in this pod: all, unless other pods have theirs."""
    apart = [name for name in engine.given if name.startswith("data-parallel-") and name != "data-parallel-size"]
    return max(1, engine.whole("data-parallel-size-local", 1)) if apart or "headless" in engine.given else engine.data


def _pods(engine: Engine, case: Case) -> int:
    """Pods whose GPUs one engine uses."""
    if engine.workload.manifest.kind == "LeaderWorkerSet":
        same = [each for each in case.workloads if each.manifest is engine.workload.manifest]
        return max(1, sum(each.replicas for each in same) // max(1, min(each.replicas for each in same)))
    return max(1, engine.whole("nnodes", 1))


def _resources(engine: Engine) -> tuple[str | int, ...]:
    kind = "requests" if GPU in mapping_at(engine.container.body, "resources", "requests") else "limits"
    return (*engine.container.path, "resources", kind, GPU)


def check_chunks(case: Case) -> Iterator[Finding]:
    for found in case.fits:
        asked, fitting = found.engine.whole("max-num-batched-tokens", 0), found.first
        if not asked or not fitting or fitting.bad or (found.assumed and not found.best):
            continue
        fitting = found.best if found.assumed and found.best else fitting
        more = _activations(found, fitting, asked, case.facts.catalog)
        if fitting.missing <= 0 < fitting.missing + more:
            message = (
                f"chunks of {asked:,} tokens take about {more / GIB:.1f} GiB a GPU more than the usual ones; on "
                f"{fitting.seat.instance} ({fitting.title}) {fitting.fit.kv / GIB:.1f} GiB are left for cache and all"
            )
            path = found.engine.path("max-num-batched-tokens")
            yield BIG_CHUNKS.on(found.engine.workload.manifest, *path, message=message)


def _activations(found: EngineFit, fitting: Fitting, tokens: int, catalog: Catalog) -> float:
    """Bytes a GPU that longer chunks add: two hidden vectors, and a feed-forward layer's three widths, of 16 bits."""
    device, anatomy = device_of(fitting.seat, catalog), found.anatomy
    assert device and anatomy
    usual = Roofline(anatomy=anatomy, device=device, split=found.split, kv_bytes=2).chunk_tokens
    measured = max(usual, 8192)  # what the catalogue's activations were measured with, on an H100
    width = 2 * anatomy.hidden + 3 * (anatomy.dense_width or anatomy.expert_width) / found.split.tensor
    return max(0, tokens - measured) * width * 2


def check_capacity(case: Case) -> Iterator[Finding]:
    for found in case.fits:
        fitting = found.best if found.assumed else found.first
        if fitting and not fitting.bad and fitting.keeps and found.context_tokens > 1:
            yield CAPACITY.on(found.engine.workload.manifest, *found.engine.path(), message=_capacity(found, fitting))


def _capacity(found: EngineFit, fitting: Fitting) -> str:
    on = _machines(found, fitting)
    on = f"no pool takes it here; the cheapest type that would hold it is {on}" if found.assumed else f"on {on}"
    calls = fitting.fit.concurrency
    told = (
        f"{on}: {fitting.fit.kv_tokens:,} tokens of cache, {calls} call{'s' if calls != 1 else ''} of "
        f"{found.context_tokens:,} tokens at once"
    )
    most = found.engine.whole("max-num-seqs", 0)
    return f"{told}, not the {most} of --max-num-seqs" if most > calls else told


def _machines(found: EngineFit, fitting: Fitting) -> str:
    """The GPUs that one copy takes, in as many machines as they stand in; the price is that of whole machines."""
    gpus = found.split.gpus
    count = -(-gpus // fitting.seat.host.gpus)
    each = f"{fitting.seat.instance} ({gpus} × {fitting.title}, ${price(fitting.seat) * count:.2f}/h)"
    return each if count == 1 else f"{count} × {each}"


def check_model(case: Case) -> Iterator[Finding]:
    """Once for each model."""
    told: set[str] = set()
    for found in case.fits:
        key = found.engine.model or found.engine.title
        if found.unknown and key not in told:
            told.add(key)
            message = f"whether it fits cannot be said: {found.unknown}"
            hint = f"{found.hint}; or {NO_MODEL.hint}" if found.hint else None
            yield NO_MODEL.on(found.engine.workload.manifest, *found.engine.path("model"), message=message, hint=hint)


def check_turns(case: Case) -> Iterator[Finding]:
    for found in case.fits:
        kinds = [each.seat.sharing for each in found.fittings if each.seat.sharing]
        turns = [each.replicas for each in kinds if each.kind != "mig" and each.replicas != 1]
        share = found.engine.number("gpu-memory-utilization", 0.92)
        if turns and share * (max(turns) or 2) > 1:  # among an unknown number, two at least
            message = (
                f"its GPU is given to {max(turns) or 'several'} pods, and memory is not divided: the engine takes "
                f"{share:.0%} of it, so that a second one there finds none"
            )
            path = found.engine.path("gpu-memory-utilization")
            yield TURNS.on(found.engine.workload.manifest, *path, message=message)


CHECKS = (
    check_room, check_tight, check_context, check_split, check_count, check_chunks, check_capacity, check_model,
    check_turns,
)  # fmt: skip
