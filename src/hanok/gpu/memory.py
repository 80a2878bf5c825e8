"""What fits: weights, what the engine takes, and how many conversations the rest of a GPU's memory holds.

As vLLM reckons when it starts: usable = memory × utilization; KV cache = usable − weights − activations − the rest.
Formulas and their sources: docs/planning.md. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hanok.gpu.anatomy import Anatomy, Memory
from hanok.gpu.catalog import Overheads

GIB, MIB = 1024**3, 1024**2
BLOCK_TOKENS = 16
"""vLLM hands out KV cache in blocks; a sliding window may touch one more than it fills."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """How one replica is spread over GPUs: each layer over `tensor` of them, the layers over `pipeline` stages."""

    tensor: int = 1
    pipeline: int = 1

    @property
    def gpus(self) -> int:
        return self.tensor * self.pipeline


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The memory of the fullest GPU of one replica, in bytes, and what it holds."""

    memory: float
    usable: float
    weights: float
    overhead: float
    sequence: float
    """Bytes that one call of `context_tokens` takes."""
    context_tokens: int

    @property
    def kv(self) -> float:
        """Bytes for the KV cache; negative where not even weights fit."""
        return self.usable - self.weights - self.overhead

    @property
    def concurrency(self) -> int:
        """Calls of the whole context at once."""
        return max(0, int(self.kv / self.sequence)) if self.sequence else 0

    @property
    def kv_tokens(self) -> int:
        """Tokens of such calls that the cache holds."""
        return max(0, int(self.kv / self.sequence * self.context_tokens)) if self.sequence else 0


def fit(
    anatomy: Anatomy,
    split: Split,
    *,
    memory_mib: float,
    overheads: Overheads,
    context_tokens: int,
    kv_bytes: int = 2,
    utilization: float | None = None,
) -> Fit:
    """What one replica leaves of a GPU's memory. `kv_bytes` are those of one cached value."""
    memory = memory_mib * MIB
    return Fit(
        memory=memory,
        usable=memory * (utilization or overheads.memory_utilization),
        weights=weights_bytes(anatomy, split),
        overhead=overhead_gib(anatomy, split, overheads) * GIB,
        sequence=sequence_bytes(anatomy, split, context_tokens, kv_bytes),
        context_tokens=context_tokens,
    )


def weights_bytes(anatomy: Anatomy, split: Split) -> float:
    """Bytes of weights on the fullest GPU. Norms and routers are on each; stages may differ by a layer."""
    size = {part: count * anatomy.packing.bytes_of(part) for part, count in anatomy.parts.items()}
    ends = ("embedding", "head", "vision") if split.pipeline == 1 else ()
    layered = sum(size[part] for part in ("attention", "mlp", "shared", "experts"))
    end = sum(size[part] for part in ends) or max(size["embedding"] + size["vision"], size["head"])
    return (layered * stage_share(anatomy, split) + end) / split.tensor + size["other"] * stage_share(anatomy, split)


def stage_share(anatomy: Anatomy, split: Split) -> float:
    """The share of the layers that the fullest stage has."""
    return math.ceil(anatomy.layers / split.pipeline) / anatomy.layers


def overhead_gib(anatomy: Anatomy, split: Split, overheads: Overheads) -> float:
    """GiB that the engine takes of each GPU beside weights and cache."""
    kind = "tensor" if split.tensor > 1 else "stage" if split.pipeline > 1 else "alone"
    return activation_gib(anatomy, overheads) + overheads.non_torch_gib[kind]


def activation_gib(anatomy: Anatomy, overheads: Overheads) -> float:
    """Peak of activations, as measured for the architecture, else for its kind."""
    measured = overheads.activation_gib.get(anatomy.architecture)
    if measured is not None:
        return measured
    if anatomy.experts:
        return overheads.activation_moe_gib
    return overheads.activation_multimodal_gib if anatomy.parts["vision"] else overheads.activation_dense_gib


def sequence_bytes(anatomy: Anatomy, split: Split, tokens: int, kv_bytes: float) -> float:
    """Bytes that a call of so many tokens takes on one GPU."""
    kept = sum(memory_bytes(memory, split, tokens, kv_bytes) for memory in anatomy.memories)
    state = anatomy.state_bytes / split.tensor
    return (kept + anatomy.index_bytes * tokens + state) * stage_share(anatomy, split)


def memory_bytes(memory: Memory, split: Split, tokens: int, kv_bytes: float) -> float:
    """Of layers that remember alike. A head is never cut: more GPUs than heads keep copies."""
    heads = max(1, -(-memory.heads // split.tensor))
    kept = tokens if memory.window is None else min(tokens, memory.window + BLOCK_TOKENS)
    return memory.layers * heads * memory.values * kept * kv_bytes


def obstacles(anatomy: Anatomy, split: Split) -> list[str]:
    """Why a model cannot be split so, if it cannot. vLLM pads the vocabulary, so that it always can be."""
    tensor, told = split.tensor, list[str]()
    if anatomy.heads % tensor:
        told.append(f"{anatomy.heads} attention heads do not divide among {tensor} GPUs")
    for heads in {memory.heads for memory in anatomy.memories if not anatomy.latent}:
        if heads % tensor and tensor % heads:
            told.append(f"{heads} key-value heads do not divide among {tensor} GPUs")
    for width, what in ((anatomy.dense_width, "feed-forward"), (anatomy.expert_width, "expert")):
        if width % tensor:
            told.append(f"a {what} width of {width} does not divide among {tensor} GPUs")
    if split.pipeline > anatomy.layers:
        told.append(f"{anatomy.layers} layers are fewer than {split.pipeline} stages")
    return told


def needs_expert_parallel(anatomy: Anatomy, split: Split) -> bool:
    """Whether experts must stay whole, as a GPU's piece would cut blocks of weights that share a scale."""
    block = anatomy.packing.block
    return bool(block and anatomy.experts and anatomy.expert_width // split.tensor % block)
