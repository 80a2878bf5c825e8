"""Replicas of an engine: what they are called, and where each is found.

Who routes by prefix and load must see every replica as an endpoint of its own: a Service in between would spread calls
blindly, and tell the load of whichever replica it asked. So with `route: service` replicas have names that stay. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from hanok.kubernetes.component import Body
from hanok.kubernetes.engines import EnginePlan
from hanok.kubernetes.objects import label
from hanok.kubernetes.places import ENGINE_PORT, INFERENCE, MODELS, engine_url
from hanok.spec.tree import Model

if TYPE_CHECKING:
    from hanok.kubernetes.plan import ClusterPlan

Shape = Literal["StatefulSet", "Deployment", "LeaderWorkerSet"]
MODEL_HEADER = "x-gateway-model-name"
"""By this header llm-d's gateway tells models apart; for callers who send none, it is taken from the body."""
MOST_NAMED = 64
"""Of more replicas the Service itself is the endpoint: each is looked at every few seconds."""


def shape_of(plan: ClusterPlan, engine: EnginePlan) -> Shape:
    """The kind of workload: one whose pods keep their names where Hanok's gateway routes among them."""
    if engine.machines > 1:
        return "LeaderWorkerSet"
    return "Deployment" if is_picked(plan, engine) else "StatefulSet"


def is_picked(plan: ClusterPlan, engine: EnginePlan) -> bool:
    """Whether an endpoint picker of llm-d chooses among the replicas. It reads prompts, so only those of chats."""
    return plan.cluster.serving.route == "llm-d" and engine.type == "chat"


def picker_release(model: Model) -> str:
    """The release of a model's pool and its picker: llm-d cuts longer names."""
    return label(model.name, 40)


def workload_name(engine: EnginePlan) -> str:
    """The workload's name. A LeaderWorkerSet makes a Service of its own name, so it has another than ours."""
    return engine.name if engine.machines == 1 else f"{engine.name}-group"


def gateway_endpoints(plan: ClusterPlan, engine: EnginePlan) -> Iterator[Body]:
    """An engine as endpoints of Hanok's gateway. Behind a picker an engine that prefills is nobody's endpoint."""
    if is_picked(plan, engine) and engine.role == "prefill":
        return
    named = {"headers": {MODEL_HEADER: engine.model.name}} if is_picked(plan, engine) else {}
    for url in endpoint_urls(plan, engine):
        yield {"engine": "openai", "url": url, **named}


def endpoint_urls(plan: ClusterPlan, engine: EnginePlan) -> list[str]:
    """Base URLs by which Hanok's gateway reaches an engine, one for each replica that there may ever be.

    Replicas that are not there are down to the gateway, and are found a few seconds after they have come up.
    """
    if is_picked(plan, engine):
        return [f"{INFERENCE}/v1"]
    if engine.most > MOST_NAMED:
        return [engine_url(engine.name)]
    return list(_named(engine))


def _named(engine: EnginePlan) -> Iterator[str]:
    name = workload_name(engine)
    for number in range(max(1, engine.most)):
        yield f"http://{name}-{number}.{name}.{MODELS}.svc:{ENGINE_PORT}/v1"
