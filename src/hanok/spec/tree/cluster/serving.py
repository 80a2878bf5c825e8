"""Engines on GPUs in a cluster, and the way to them."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from hanok.spec.tree.values import Tree, Whole


class LiteLLMProxy(Tree):
    """LiteLLM's proxy, for callers who have its keys."""

    enabled: bool = Field(default=True, description="Keep it.")
    to: Literal["door", "engines"] = Field(
        default="door",
        description="`door`: it asks Hanok's gateway for everything, so that budgets, caches and fallbacks are "
        "Hanok's; `engines`: it asks engines of the cluster itself, with its own fallbacks.",
    )
    replicas: Whole = Field(default=2, ge=1, le=50, description="Proxies.")
    database: str | None = Field(
        default=None,
        min_length=1,
        description="The variable with the address of its PostgreSQL; without one its master key alone opens it.",
    )


def _as_litellm(value: object) -> object:
    return {"enabled": value} if isinstance(value, bool) else value


class Serving(Tree):
    """How declared models are served that need GPUs."""

    route: Literal["service", "llm-d"] = Field(
        default="service",
        description="`service`: Hanok's gateway asks every engine and routes itself; `llm-d`: an InferencePool with "
        "its endpoint picker behind agentgateway does.",
    )
    weights: Literal["node", "efs", "fsx"] = Field(
        default="node", description="Where weights are kept: on each machine, or on a file system that all share."
    )
    weights_gib: Whole | None = Field(
        default=None, ge=1, description="Size of that file system; by default what the weights need."
    )
    storage_class: str | None = Field(
        default=None,
        min_length=1,
        description="The StorageClass of that file system, whose volumes many nodes may write; by default Hanok's own.",
    )
    token: str | None = Field(
        default="HF_TOKEN", description="The variable with the token for Hugging Face; null where none is needed."
    )
    litellm: Annotated[LiteLLMProxy, BeforeValidator(_as_litellm)] = Field(
        default=LiteLLMProxy(enabled=False),
        description="LiteLLM's proxy beside Hanok's gateway; `true`, `false`, or how.",
    )
