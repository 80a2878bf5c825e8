"""Flags of vLLM in a model's words: what `deploy` has a key for, what goes on as a flag, and what must stay.

A flag that goes on means the same wherever vLLM runs. What names files, keys, GPUs or other pods stays where it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from hanok.migration.manifests.reasons import ENGINE_FLAGS, ENGINES_OWN
from hanok.preflight.engines import Flag, is_switch, read_whole
from hanok.preflight.fit.load_flags import vocabulary

Value = str | int | float | bool
_GOING_ON = frozenset({
    "async-scheduling", "block-size", "chat-template-content-format", "config-format", "default-chat-template-kwargs",
    "enable-auto-tool-choice", "enable-chunked-prefill", "enable-force-include-usage", "enable-prefix-caching",
    "enable-prompt-tokens-details", "enforce-eager", "exclude-tools-when-tool-choice-none", "generation-config",
    "hf-overrides", "language-model-only", "limit-mm-per-prompt", "load-format", "max-logprobs",
    "max-num-batched-tokens", "max-num-seqs", "media-io-kwargs", "mm-processor-cache-gb", "mm-processor-kwargs",
    "model-impl", "override-generation-config", "pooler-config", "reasoning-config", "reasoning-parser",
    "response-role", "revision", "scheduling-policy", "seed", "speculative-config", "structured-outputs-config",
    "tokenizer", "tokenizer-mode", "tokenizer-revision", "tool-call-parser", "trust-remote-code",
})  # fmt: skip
"""Flags that say what is answered, and how much at once; not where an engine stands, and to whom it talks."""
_QUANTIZATIONS = {
    "fp8": "fp8", "modelopt": "fp8", "fbgemm_fp8": "fp8", "awq": "awq", "awq_marlin": "awq", "gptq": "gptq",
    "gptq_marlin": "gptq", "mxfp4": "mxfp4", "modelopt_fp4": "nvfp4", "int8": "int8", "experts_int8": "int8",
}  # fmt: skip
_DTYPES = {"bfloat16": "bfloat16", "float16": "float16", "half": "float16"}
_NUMBER = re.compile(r"-?\d{1,15}")


def flag_reason(flag: Flag) -> tuple[str | None, str]:
    """Where in a model a flag goes, or why it stays; and a word for either."""
    if flag.name in ENGINE_FLAGS:
        return ENGINE_FLAGS[flag.name]
    return ("deploy.flags", "") if goes_on(flag.name, flag.value) else (None, ENGINES_OWN)


def further_flags(flags: Iterable[Flag]) -> Mapping[str, Value]:
    """`deploy.flags`: those that go on, by their names; the last of each wins."""
    return {flag.name: value_of(flag) for flag in flags if flag_reason(flag)[0] == "deploy.flags"}


def planned_of(flags: Iterable[Flag]) -> dict[str, Any]:
    """What flags say in the words of `deploy` itself; the last of each wins."""
    given = {flag.name: flag.value or "" for flag in flags}
    deploy: dict[str, Any] = {}
    if tokens := read_whole(given.get("max-model-len")):
        deploy["context_tokens"] = min(tokens, 100_000_000)
    if (quantization := _QUANTIZATIONS.get(given.get("quantization", ""))) is not None:
        deploy["quantization"] = quantization
    if (dtype := _DTYPES.get(given.get("dtype", ""))) is not None:
        deploy["dtype"] = dtype
    if given.get("kv-cache-dtype", "").startswith("fp8"):
        deploy["kv_dtype"] = "fp8"
    if re.fullmatch(r"(0?\.\d{1,6}|1(\.0*)?)", share := given.get("gpu-memory-utilization", "")) and float(share) > 0:
        deploy["memory_utilization"] = float(share)
    return deploy


def deploy_of(flags: Iterable[Flag]) -> dict[str, Any]:
    """All that flags say for `deploy`."""
    every = list(flags)
    further = dict(further_flags(every))
    return planned_of(every) | ({"flags": further} if further else {})


def goes_on(name: str, value: str | None) -> bool:
    """Whether vLLM has this flag today, and it means the same in any cluster."""
    plain = name.removeprefix("no-")
    if plain not in _GOING_ON & vocabulary().flags:
        return False
    if value is None:
        return is_switch(name)
    return bool(value) and not value.startswith(("/", "./", "~")) and "$" not in value


def value_of(flag: Flag) -> Value:
    """A flag's value as `flags` of a platform have it: true where it stands alone, numbers as numbers."""
    if flag.value is None:
        return True
    if flag.value.lower() in ("true", "false") and is_switch(flag.name):
        return flag.value.lower() == "true"
    return int(flag.value) if _NUMBER.fullmatch(flag.value) else flag.value
