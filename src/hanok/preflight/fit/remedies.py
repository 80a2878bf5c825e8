"""What would make an engine fit: single changes, the cheapest first, each tried with the same reckoning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hanok.gpu import Anatomy, Catalog, Split
from hanok.gpu.memory import obstacles
from hanok.gpu.weights import packing_named
from hanok.preflight.fit.needs import EngineFit, Fitting, anywhere, fitting_of, fittings_of, price

MOST = 3
LEAST_CONTEXT, STEP = 1024, 1024
"""Tokens: a context below the first is no remedy; others are told in whole multiples of the second."""
TENSORS = (2, 4, 8)


def remedies(found: EngineFit, catalog: Catalog) -> str:
    """In words, for a hint; empty where nothing simple helps."""
    told = [words for each in (_shorter, _smaller, _wider, _elsewhere) for words in each(found, catalog)]
    return "; or ".join(told[:MOST])


def _shorter(found: EngineFit, _: Catalog) -> Iterator[str]:
    """A context that the cache holds on every machine."""
    fittings = [each for each in found.fittings if not each.reasons]
    tokens = min((each.fit.kv_tokens for each in fittings), default=0) // STEP * STEP
    if LEAST_CONTEXT <= tokens < found.context_tokens and len(fittings) == len(found.fittings):
        yield f"`--max-model-len {tokens}`"


def _smaller(found: EngineFit, catalog: Catalog) -> Iterator[str]:
    anatomy = found.anatomy
    if anatomy and anatomy.packing.format == "bf16" and "quantization" not in found.engine.given:
        small = replace(anatomy, packing=packing_named("fp8"))
        if all(not _again(each, found, small, found.split, catalog).bad for each in found.fittings):
            yield "weights in fp8 (`--quantization fp8`, or a checkpoint that is)"


def _wider(found: EngineFit, catalog: Catalog) -> Iterator[str]:
    """More GPUs of the same machines."""
    assert found.anatomy
    for tensor in TENSORS:
        if tensor > found.split.tensor and _is_wide_enough(found, found.anatomy, tensor, catalog):
            yield f"`--tensor-parallel-size {tensor}`, and as many GPUs"
            return


def _is_wide_enough(found: EngineFit, anatomy: Anatomy, tensor: int, catalog: Catalog) -> bool:
    split = Split(tensor=tensor, pipeline=found.split.pipeline)
    seats = [each.seat for each in found.fittings]
    if obstacles(anatomy, split) or any(each.host.gpus < split.gpus or each.sharing for each in seats):
        return False
    return all(not _again(each, found, anatomy, split, catalog).bad for each in found.fittings)


def _elsewhere(found: EngineFit, catalog: Catalog) -> Iterator[str]:
    """The cheapest instance type where it fits as it is."""
    assert found.anatomy
    given = found.engine, found.anatomy, found.split, found.context_tokens
    tried = fittings_of(*given, anywhere(found.split.gpus, catalog), catalog)
    good = [each for each in tried if each.outcome == "fits" and each.seat.usd_hour]
    if good:
        best = min(good, key=lambda each: price(each.seat))
        yield f"run it on {best.seat.instance} ({best.seat.host.gpus} × {best.title}, ${price(best.seat):.2f}/h)"


def _again(fitting: Fitting, found: EngineFit, anatomy: Anatomy, split: Split, catalog: Catalog) -> Fitting:
    """The same machine, otherwise used."""
    return fitting_of(found.engine, anatomy, split, found.context_tokens, fitting.seat, catalog) or fitting
