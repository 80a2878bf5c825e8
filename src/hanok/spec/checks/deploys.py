"""Plans that cannot be made."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.spec.checks.findings import Finding, quoted
from hanok.spec.tree import Platform

_OWN_WORDS = {
    "max-model-len": "context_tokens", "quantization": "quantization", "dtype": "dtype", "kv-cache-dtype": "kv_dtype",
    "gpu-memory-utilization": "memory_utilization",
}  # fmt: skip
"""Flags of vLLM that `deploy` has keys for, which plans are made by."""


def check_deploys(platform: Platform) -> Iterator[Finding]:
    """Plans for models that no GPU of yours serves, or for calls that are longer than the context."""
    for index, model in enumerate(platform.models):
        deploy, place = model.deploy, ("models", index, "deploy")
        if deploy is None:
            continue
        if deploy.weights is None and not any(endpoint.engine == "vllm" for endpoint in model.serve):
            message = f"nothing says which weights {quoted(model.name)} has"
            hint = "name them, as `weights: Qwen/Qwen3-32B`, or serve it with `engine: vllm`"
            yield Finding(place=place, message=message, hint=hint)
        tokens = deploy.load.prompt_tokens + deploy.load.output_tokens
        if deploy.load.model_fields_set & {"prompt_tokens", "output_tokens"} and tokens > deploy.context_tokens:
            message = f"a usual call has {tokens} tokens, more than `context_tokens`, {deploy.context_tokens}"
            yield Finding(place=(*place, "load"), message=message, hint="raise `context_tokens`, or shorten the calls")
        for flag in deploy.flags.keys() & _OWN_WORDS.keys():
            message = f"`{flag}` is `{_OWN_WORDS[flag]}` here, by which it is planned"
            yield Finding(place=(*place, "flags", flag), message=message, hint=f"write `deploy.{_OWN_WORDS[flag]}`")
