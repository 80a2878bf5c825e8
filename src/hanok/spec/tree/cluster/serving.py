"""Engines on GPUs in a cluster, and the way to them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanok.spec.tree.values import Tree, Whole


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
    litellm: bool = Field(default=False, description="Keep LiteLLM's proxy beside Hanok's gateway.")
