"""How long it takes until an engine answers: its node, its image, its weights. Judgements where no source
is named. Pure."""

from __future__ import annotations

FASTEST = 10e9
"""Bytes a second: nothing that an engine loads from is quicker (local NVMe in RAID, a parallel file system)."""
USUAL = 1e9
HUB_FASTEST, HUB_USUAL = 2e9, 0.3e9
"""Bytes a second from the Hugging Face hub: with many streams on a fast instance; as is common. Judgements."""
LEAST_START_S, USUAL_START_S = 20.0, 120.0
"""Beside reading weights: imports, compiling and capturing graphs. The first from a kept compile cache and a small
model, the second for a large one without: judgements."""
NODE_START_S = 90.0
"""From the wish for a node to its being ready for pods, GPU driver included: a judgement."""


def least_load_s(weights_bytes: float, speed: float) -> float:
    """Seconds from a container's start to its first answer, at the very least; `speed` in bytes a second."""
    return weights_bytes / speed + LEAST_START_S


def usual_load_s(weights_bytes: float, speed: float = USUAL) -> float:
    """The same as one should plan for."""
    return weights_bytes / speed + USUAL_START_S
