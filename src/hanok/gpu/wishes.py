"""What a declared model needs of GPUs: its `deploy`, and what the flags of its engine say of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from pydantic import ValidationError

from hanok.errors import PlanError
from hanok.spec import Deploy, Model


def wishes_of(model: Model) -> Iterator[Deploy]:
    """What the model needs of GPUs: as `deploy` says, and where it does not, as the flags of an engine `vllm`."""
    engine = next((each for each in model.serve if each.engine == "vllm"), None)
    if engine is None:
        if model.deploy is not None:
            yield model.deploy
        return
    found: dict[str, Any] = {"weights": engine.model}
    for flag, key in (("max-model-len", "context_tokens"), ("gpu-memory-utilization", "memory_utilization")):
        if isinstance(value := engine.flags.get(flag), int | float):
            found[key] = value
    if str(engine.flags.get("kv-cache-dtype", "")).startswith("fp8"):
        found["kv_dtype"] = "fp8"
    yield wish(Deploy(), found | (model.deploy.model_dump(exclude_unset=True) if model.deploy else {}))


def wish(deploy: Deploy, wishes: dict[str, Any]) -> Deploy:
    """The same with what is wished for instead. Raises `PlanError`."""
    merged = deploy.model_dump(exclude_unset=True)
    for key, value in wishes.items():
        if isinstance(value, dict):
            block = cast("dict[str, Any]", value)
            merged[key] = {**merged.get(key, {}), **{name: each for name, each in block.items() if each is not None}}
        elif value is not None:
            merged[key] = value
    try:
        return Deploy.model_validate(merged)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise PlanError(f"{'.'.join(str(each) for each in detail['loc'])}: {detail['msg']}") from None
