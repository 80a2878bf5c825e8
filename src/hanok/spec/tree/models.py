"""Models, as callers name them."""

from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Field

from hanok.spec.tree.caches import ModelCache
from hanok.spec.tree.deploys import Deploy
from hanok.spec.tree.endpoints import Endpoint
from hanok.spec.tree.money import Price
from hanok.spec.tree.routing import Breaker, Fallbacks, Hedge, Queue, Routing, Timeouts
from hanok.spec.tree.scaling import ModelScale
from hanok.spec.tree.values import Name, Tree, Whole, as_list, unsaid


def _as_routing(value: object) -> object:
    return {"policy": value} if isinstance(value, str) else value


def _as_fallbacks(value: object) -> object:
    return cast("object", value) if isinstance(value, dict | Fallbacks) else {"error": value}


def _as_cache(value: object) -> object:
    return {"use": value} if isinstance(value, bool) else value


ModelType = Literal["chat", "embedding", "rerank", "moderation"]


class Model(Tree):
    """A model as callers name it, and the endpoints that serve it."""

    name: Name = Field(description="The name callers use. Unique.")
    type: ModelType = Field(
        default="chat",
        description="What it does: text (`chat`), vectors, an order of documents, or a judgement of texts.",
    )
    serve: Annotated[list[Endpoint], BeforeValidator(as_list)] = Field(
        min_length=1, description="One endpoint, or a list of them; `routing` says which takes a call."
    )
    routing: Annotated[Routing, BeforeValidator(_as_routing)] = Field(
        default=unsaid(Routing), description="Which endpoint takes a call; a policy, or a policy with options."
    )
    price: Price | None = Field(
        default=None,
        description="By default LiteLLM's price map where it is installed and knows the model, else nothing.",
    )
    max_output_tokens: Whole = Field(
        default=4096, ge=1, description="Tokens that a budget sets aside for an answer when the caller names no limit."
    )
    fallbacks: Annotated[Fallbacks, BeforeValidator(_as_fallbacks)] = Field(
        default=unsaid(Fallbacks), description="Other models to try; a list, or lists by what went wrong."
    )
    retries: Whole = Field(default=2, ge=0, le=10, description="Further attempts before the first byte, per model.")
    timeouts: Timeouts = Field(default=unsaid(Timeouts), description="How long to wait for its engines.")
    queue: Queue = Field(default=unsaid(Queue), description="Calls that wait for a full endpoint.")
    breaker: Breaker = Field(default=unsaid(Breaker), description="When to leave a failing endpoint alone.")
    hedge: Hedge | None = Field(default=None, description="Ask a second endpoint when the first is slow.")
    cache: Annotated[ModelCache | None, BeforeValidator(_as_cache)] = Field(
        default=None, description="Keep its answers: `true`, `false`, or how; by default as `cache.all_models` says."
    )
    deploy: Deploy | None = Field(
        default=None, description="What it needs of GPUs, for `hanok plan`. Changes nothing of how calls are answered."
    )
    scale: ModelScale | None = Field(
        default=None, description="How many replicas of its engine there are; by default one for each endpoint."
    )
