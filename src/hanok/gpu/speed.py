"""How fast: a roofline. A step takes as long as its slower half, reading memory or multiplying, and then what GPUs say
to each other.

An estimate, good to about ±30 %, or ±50 % with experts (docs/planning.md says why). What is assumed stands here
as a constant, with why. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hanok.gpu.anatomy import Anatomy
from hanok.gpu.catalog import Accelerator, WeightFormat
from hanok.gpu.memory import Split, sequence_bytes, stage_share

BANDWIDTH_SHARE = 0.8
"""Of a data sheet's bandwidth, that kernels reach; the same figure that aiconfigurator 0.12 corrects with."""
DENSE_SHARE, EXPERTS_SHARE = 0.5, 0.35
"""Of a data sheet's operations, that long prompts reach; less where tokens scatter over experts."""
STEP_S, LAYER_S = 0.6e-3, 12e-6
"""What a step costs whatever its size: scheduling and sampling, and starting a layer's kernels."""
EXPERTS_S, LATENT_S = 50e-6, 40e-6
"""What a layer costs beside that for choosing and gathering experts, and for latent attention's many small kernels."""
HOP_S = 10e-6
"""Beginning one exchange between GPUs; aiconfigurator's figure for both NVLink and PCIe."""
STAGE_S = 100e-6
"""Handing activations to the next stage, on another machine at worst."""
LINK_SHARE = 0.7
"""Of a link's speed, that a ring of exchanges reaches."""
DENSE_ERROR, EXPERTS_ERROR = 0.3, 0.5
"""How far rates may be off, either way, as a share: a judgement, for measurements of every pair do not exist."""
_CHUNKS = ((160 * 1024, 16384), (70 * 1024, 8192), (0, 2048))
"""vLLM's default of --max-num-batched-tokens, by MiB of memory (0.32, API server); A100 takes the smallest."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """One GPU, or a share of one, as an engine sees it."""

    title: str
    memory_mib: float
    bandwidth: float
    """Bytes a second."""
    tflops: dict[WeightFormat, float]
    capability: float
    link: float
    """Bytes a second, one way, to the other GPUs of the machine."""

    @staticmethod
    def of(accelerator: Accelerator, *, memory_mib: float, share: float = 1.0, compute: float = 1.0) -> Device:
        """A share of an accelerator: of its memory and so of its bandwidth, and of its multiprocessors."""
        return Device(
            title=accelerator.title,
            memory_mib=memory_mib,
            bandwidth=(accelerator.bandwidth_gb_s or 0.0) * 1e9 * share,
            tflops={name: value * compute for name, value in accelerator.tflops.items()},
            capability=accelerator.capability or 0.0,
            link=(accelerator.link_gb_s or 0.0) * 1e9 * LINK_SHARE,
        )


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A usual call, in tokens."""

    prompt: int
    output: int

    @property
    def total(self) -> int:
        return self.prompt + self.output

    @property
    def middle(self) -> int:
        """Tokens that a call has when half of its answer is there."""
        return self.prompt + self.output // 2


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How one replica does with so many calls at once."""

    batch: int
    tpot_s: float
    """Seconds between a call's tokens, pauses for others' prompts included."""
    ttft_s: float
    """Seconds to a call's first token, on average, waiting for others' prompts included."""
    requests_per_s: float
    decode_tokens_s: float
    """Tokens a second of all calls together."""
    prefill_tokens_s: float
    """Prompt tokens a second, while nothing else runs."""


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """One replica of a model on devices of one kind."""

    anatomy: Anatomy
    device: Device
    split: Split
    kv_bytes: int

    def step_s(self, batch: int, context: int) -> float:
        """Seconds in which each of `batch` calls, `context` tokens long, gets one more token."""
        alone = math.ceil(batch / self.split.pipeline)  # stages work on different calls
        read = self.weights_read(alone) + alone * sequence_bytes(self.anatomy, self.split, context, self.kv_bytes)
        stage = max(read / (self.device.bandwidth * BANDWIDTH_SHARE), self.multiply_s(alone, context))
        stage += self.exchange_s(alone) + self.starting_s
        return stage * self.split.pipeline + self.between_stages_s

    def prompt_s(self, tokens: int) -> float:
        """Seconds to the first token of a prompt, alone: chunk by chunk, stage after stage."""
        chunk = min(tokens, self.chunk_tokens)
        pieces = math.ceil(tokens / chunk)
        return self.chunk_s(chunk, tokens / 2) * (pieces + self.split.pipeline - 1) + self.between_stages_s

    def prompts_s(self, tokens: int) -> float:
        """Seconds of every stage's time that a prompt takes among many, whose chunks fill each other's gaps."""
        chunk = self.chunk_tokens
        return self.chunk_s(chunk, tokens / 2) * tokens / chunk

    def chunk_s(self, tokens: int, context: float) -> float:
        read = self.weights_read(tokens) / (self.device.bandwidth * BANDWIDTH_SHARE)
        work = max(read, self.multiply_s(tokens, context)) + self.exchange_s(tokens)
        return work + self.starting_s

    @property
    def starting_s(self) -> float:
        """Seconds that a step takes whatever its size."""
        layer = LAYER_S + (EXPERTS_S if self.anatomy.experts else 0.0) + (LATENT_S if self.anatomy.latent else 0.0)
        return STEP_S + layer * self.stage_layers

    @property
    def stage_layers(self) -> float:
        return self.anatomy.layers * stage_share(self.anatomy, self.split)

    @property
    def chunk_tokens(self) -> int:
        small = self.device.capability == 8.0
        return next(tokens for memory, tokens in _CHUNKS if self.device.memory_mib >= memory and not (small and memory))

    @property
    def between_stages_s(self) -> float:
        return (self.split.pipeline - 1) * STAGE_S

    def weights_read(self, tokens: int) -> float:
        """Bytes of weights that a step of so many tokens reads on the fullest GPU; of experts, those chosen."""
        anatomy, packing = self.anatomy, self.anatomy.packing
        touched = 1 - (1 - anatomy.chosen / anatomy.experts) ** tokens if anatomy.experts else 0.0
        layered = sum(anatomy.parts[part] * packing.bytes_of(part) for part in ("attention", "mlp", "shared", "other"))
        layered += touched * anatomy.parts["experts"] * packing.bytes_of("experts")
        return (layered * stage_share(anatomy, self.split) + anatomy.parts["head"] * 2) / self.split.tensor

    def multiply_s(self, tokens: int, context: float) -> float:
        """Seconds of arithmetic: two operations a parameter and token, and attention's over the context."""
        anatomy = self.anatomy
        work = 2 * anatomy.active + self.attention_work(context)
        share = EXPERTS_SHARE if anatomy.experts else DENSE_SHARE
        speed = self.tflops * 1e12 * share * self.split.tensor
        return tokens * work * stage_share(anatomy, self.split) / speed

    def attention_work(self, context: float) -> float:
        """Operations of one token: with each key and with each value that its layers remember."""
        work = 0.0
        for memory in self.anatomy.memories:
            width = memory.values * 2 if self.anatomy.latent else memory.values
            work += 2 * memory.layers * self.anatomy.heads * width * min(context, memory.window or context)
        return work

    @property
    def tflops(self) -> float:
        """Of the format that matrices are multiplied in: the weights' own where the GPU can, else 16 bits."""
        wanted: dict[str, WeightFormat] = {"fp8": "fp8", "int8": "int8", "nvfp4": "fp4", "mxfp4": "fp4"}
        known = self.device.tflops
        found = known.get(wanted.get(self.anatomy.packing.format, "bf16"))
        return max(found or 0.0, known["bf16"])

    def exchange_s(self, tokens: int) -> float:
        """Seconds in which GPUs add up what each computed, twice a layer, in a ring."""
        count = self.split.tensor
        if count == 1:
            return 0.0
        size = 2 * (count - 1) / count * tokens * self.anatomy.hidden * 2
        return 2 * self.stage_layers * (HOP_S + size / self.device.link)

    def rate(self, shape: Shape, batch: int) -> Rate:
        """How it does with `batch` calls of this shape at once, each followed by another when it ends.

        A call lasts its steps, and the prompts of the calls that begin meanwhile: one for each of the batch.
        """
        step, prompt = self.step_s(batch, shape.middle), self.prompts_s(shape.prompt)
        alone = self.prompt_s(shape.prompt)
        lasts = shape.output * step + max(batch * prompt, alone)
        per_s = batch / lasts
        busy = min(0.99, per_s * prompt)
        waits = busy * prompt / (2 * (1 - busy)) + step if batch > 1 else 0.0
        return Rate(
            batch=batch,
            tpot_s=step + (batch - 1) * prompt / shape.output,
            ttft_s=alone + waits,
            requests_per_s=per_s,
            decode_tokens_s=per_s * shape.output,
            prefill_tokens_s=shape.prompt / prompt,
        )


def device_fits(anatomy: Anatomy, device: Device, *, kv_bytes: int, least: float) -> list[str]:
    """Why a device's kernels cannot run it, if they cannot."""
    told = list[str]()
    form = anatomy.packing.format
    if device.capability < least:
        told.append(f"{form} weights need compute capability {least:g}; {device.title} has {device.capability:g}")
    if kv_bytes == 1 and device.capability < 8.9:
        told.append(f"an fp8 KV cache needs compute capability 8.9; {device.title} has {device.capability:g}")
    if anatomy.sparse and not 9.0 <= device.capability < 12.0:
        told.append(f"its sparse attention needs compute capability 9 or 10; {device.title} has {device.capability:g}")
    return told


def smallest(most: int, enough: Callable[[int], bool]) -> int | None:
    """The smallest number from 1 to `most` that is enough, where more is never less; None if none is."""
    if most < 1 or not enough(most):
        return None
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
