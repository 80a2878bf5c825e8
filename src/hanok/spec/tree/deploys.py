"""What a model needs of GPUs, for the planner."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from hanok.spec.tree.values import Number, Tree, Whole, unsaid


class PlannedLoad(Tree):
    """The calls that a model is planned for."""

    requests_per_s: Number | None = Field(
        default=None, gt=0, description="Calls a second; by default as many as `concurrency` lets through."
    )
    prompt_tokens: Whole = Field(default=1000, ge=1, description="Tokens of a usual prompt.")
    output_tokens: Whole = Field(default=250, ge=1, description="Tokens of a usual answer.")


class PlannedLatency(Tree):
    """How soon answers must come, on average."""

    ttft_s: Number | None = Field(default=None, gt=0, description="Seconds to the first token, at most.")
    tpot_ms: Number | None = Field(default=None, gt=0, description="Milliseconds for each further token, at most.")


class Deploy(Tree):
    """What a model needs of GPUs: `hanok plan` says which machines can serve it, and what they cost."""

    weights: str | None = Field(
        default=None,
        min_length=1,
        description="A model of Hugging Face, or a folder with its config.json; by default what engine `vllm` serves.",
    )
    dtype: Literal["auto", "bfloat16", "float16"] = Field(
        default="auto", description="Format of weights that are not quantised. Both take 16 bits."
    )
    quantization: Literal["auto", "none", "fp8", "int8", "awq", "gptq", "mxfp4", "nvfp4"] = Field(
        default="auto", description="How weights are quantised; `auto` is as the model's config.json says."
    )
    kv_dtype: Literal["auto", "fp8"] = Field(default="auto", description="Format of the KV cache; `auto` has 16 bits.")
    context_tokens: Whole = Field(
        default=8192, ge=1, le=100_000_000, description="Tokens that one call may have, prompt and answer together."
    )
    concurrency: Whole = Field(
        default=8, ge=1, le=100_000, description="Calls of so many tokens that must fit into memory at once."
    )
    load: PlannedLoad = Field(default=unsaid(PlannedLoad), description="The calls that are expected.")
    latency: PlannedLatency = Field(default=unsaid(PlannedLatency), description="How soon answers must come.")
    gpu: list[Annotated[str, StringConstraints(min_length=1)]] = Field(
        default=[], description="GPUs or instance types to choose from, or patterns such as `g6e.*`; by default all."
    )
    mig: bool = Field(default=True, description="Consider slices of GPUs (MIG), too.")
    spot: bool = Field(default=False, description="Reckon with the price of spot instances.")
    memory_utilization: Number | None = Field(
        default=None, gt=0, le=1, description="Share of a GPU's memory for the engine; by default vLLM's own, 0.92."
    )
    flags: dict[str, str | int | float | bool] = Field(
        default={},
        repr=False,
        description="Further flags of `vllm serve` in a cluster, as an engine `vllm` has them; its own win over these.",
    )
