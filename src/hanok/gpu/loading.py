"""How long an engine takes to answer its first call: its weights must be read, and its graphs captured.

Two times are reckoned. The *least* is what the quickest disk and network could do; the *usual* is what one should plan
for. Pulling the image is in neither. Figures without a source are judgements. Pure.
"""

from __future__ import annotations

FASTEST = 10e9
"""Bytes a second: nothing that an engine loads from is quicker (local NVMe in RAID, a parallel file system)."""
USUAL = 1e9
HUB_FASTEST, HUB_USUAL = 2e9, 0.3e9
"""Bytes a second from the Hugging Face hub: with many streams on a fast instance; as is common."""
LEAST_START_S, USUAL_START_S = 20.0, 120.0
"""Beside reading weights: imports, compiling and capturing graphs. The first from a kept compile cache and a small
model, the second for a large one without."""
IMAGE_S = 180.0
"""Usually, to pull and unpack an image of 10 GB."""


def least_start_s(weights_bytes: float, bytes_per_s: float) -> float:
    """Seconds from the container's start to its first answer, at the very least."""
    return weights_bytes / bytes_per_s + LEAST_START_S


def usual_start_s(weights_bytes: float, bytes_per_s: float = USUAL) -> float:
    """The same, usually."""
    return weights_bytes / bytes_per_s + USUAL_START_S


def hub_bytes_per_s(network_mbps: int) -> float:
    """How fast weights usually come from the hub to a machine with so much network, Mbit a second."""
    return min(HUB_USUAL, network_mbps * 1e6 / 8)
