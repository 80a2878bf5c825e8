"""How many bytes a parameter takes, by how a model is quantised, and which parts of it are.

Embeddings, the head, norms and routers stay at 16 bits everywhere; the rest as the checkpoint's own config says.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from hanok.errors import PlanError

Format = Literal["bf16", "fp8", "int8", "int4", "mxfp4", "nvfp4"]
LINEAR = frozenset({"attention", "mlp", "shared", "experts"})
"""Parts that quantisation may shrink."""
BYTES: Mapping[Format, float] = {
    "bf16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "int4": 0.5 + 2.5 / 128,  # a scale and a zero point for 128 weights
    "mxfp4": 0.5 + 1 / 32,  # a scale of one byte for 32
    "nvfp4": 0.5 + 1 / 16,  # a scale of one byte for 16
}
"""Of one parameter."""
NAMED: Mapping[str, Format] = {
    "none": "bf16", "fp8": "fp8", "int8": "int8", "awq": "int4", "gptq": "int4", "mxfp4": "mxfp4", "nvfp4": "nvfp4",
}  # fmt: skip
"""What the spec calls them."""
LEAST_CAPABILITY: Mapping[Format, float] = {
    "bf16": 7.5, "fp8": 8.0, "int8": 7.5, "int4": 7.5, "mxfp4": 8.0, "nvfp4": 8.0,
}  # fmt: skip
"""Below these, vLLM has no kernel; below its own hardware's (8.9 for fp8, 10 for fp4) weights alone stay small."""
_SKIPPED: Mapping[str, re.Pattern[str]] = {
    "attention": re.compile(r"self_attn(\*|\.\*|$|\.(q|qkv|kv_b)_proj)"),
    "shared": re.compile(r"shared_expert"),
    "mlp": re.compile(r"mlp\\?\.\(gate\|up"),
}


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How weights are written: the format of some parts; the others have 16 bits."""

    format: Format = "bf16"
    parts: frozenset[str] = LINEAR
    block: int | None = None
    """Rows and columns that share a scale: a GPU's piece must be a multiple."""
    group: int | None = None
    """Weights that share a scale, where it is not the usual number."""

    def bytes_of(self, part: str) -> float:
        """Bytes of one parameter of this part."""
        if self.format == "bf16" or part not in self.parts:
            return 2.0
        if self.format == "int4" and self.group:
            return 0.5 + 2 / self.group
        return BYTES[self.format]


AS_WRITTEN = Packing()


def packing_named(name: str) -> Packing:
    """The packing that a user asks for by name: all linear parts of the model."""
    return Packing(format=NAMED[name])


def packing_of(name: str, config: Mapping[str, Any] | None, *, layers: int) -> Packing:
    """The packing that a checkpoint's own config says. Raises `PlanError` for one that is not modelled."""
    if not config:
        return AS_WRITTEN
    inner = cast("Mapping[str, Any]", config.get("quantization") or config)
    form, group = _form(inner)
    if form is None:
        method = inner.get("quant_algo") or inner.get("quant_method") or "unnamed"
        hint = f"say one of {', '.join(NAMED)} as `quantization`"
        raise PlanError(f"{name}: its quantization ({method}) is not modelled", hint=hint)
    skipped = _skipped(inner, layers=layers)
    parts = frozenset({"experts"}) if inner.get("quant_method") == "mxfp4" else LINEAR - skipped
    sizes = cast("list[int]", inner.get("weight_block_size") or [])
    return Packing(format=form, parts=parts, block=sizes[0] if sizes else None, group=group)


def _form(config: Mapping[str, Any]) -> tuple[Format | None, int | None]:
    """The format, and the size of a group where that matters."""
    method = str(config.get("quant_method") or "").lower()
    bits = config.get("bits") or config.get("w_bit")
    if method in ("fp8", "fbgemm_fp8", "mxfp4"):
        return ("mxfp4" if method == "mxfp4" else "fp8"), None
    if method in ("awq", "gptq", "auto-round", "autoround"):
        return ("int8" if bits == 8 else "int4" if bits in (4, None) else None), _group(config.get("group_size"))
    algorithm = str(config.get("quant_algo") or "").upper()
    if algorithm:
        return {"FP8": "fp8", "NVFP4": "nvfp4", "W4A16_NVFP4": "nvfp4", "MXFP8": "fp8"}.get(algorithm), None  # type: ignore[return-value]
    if method == "compressed-tensors":
        return _compressed(config)
    return None, None


def _compressed(config: Mapping[str, Any]) -> tuple[Format | None, int | None]:
    groups = cast("Mapping[str, Any]", config.get("config_groups") or {})
    weights = [cast("Mapping[str, Any]", each.get("weights") or {}) for each in groups.values()]
    kinds = {(str(each.get("type")), each.get("num_bits")) for each in weights}
    if len(kinds) != 1:
        return None, None
    (kind, bits), group = kinds.pop(), _group(weights[0].get("group_size"))
    if (kind, bits) == ("float", 4):
        return ("mxfp4" if group == 32 else "nvfp4"), None
    known: dict[tuple[str, Any], Format] = {("float", 8): "fp8", ("int", 8): "int8", ("int", 4): "int4"}
    return known.get((kind, bits)), group


def _group(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _skipped(config: Mapping[str, Any], *, layers: int) -> frozenset[str]:
    """Parts that are left at 16 bits in half of the layers or more."""
    lists = (config.get(key) for key in ("ignore", "exclude_modules", "modules_to_not_convert"))
    patterns = [str(each) for listed in lists for each in cast("list[Any]", listed or [])]
    return frozenset(part for part, mark in _SKIPPED.items() if _covers(patterns, mark, layers=layers))


def _covers(patterns: Collection[str], mark: re.Pattern[str], *, layers: int) -> bool:
    found = [each for each in patterns if mark.search(each)]
    numbered = {match.group(1) for each in found if (match := re.search(r"layers\.(\d+)\b", each))}
    return len(numbered) * 2 >= layers or any(not re.search(r"layers\.\d+\b", each) for each in found)
