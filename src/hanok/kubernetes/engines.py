"""Engines of the cluster: for each declared model that needs GPUs, what serves it there.

A model with `deploy`, or on engine `vllm`, gets engines of its own in the cluster, and the endpoints that run on one
machine only (`llamacpp`, `sentence-encoder`, `echo`, …) or at a cluster's own address give way to them. All others stay
as they are declared. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from hanok.errors import PlanError, Problem, SpecError
from hanok.gpu import Anatomy, Catalog, Option
from hanok.gpu.wishes import wishes_of
from hanok.kubernetes.choosing import Chooser
from hanok.kubernetes.objects import label
from hanok.kubernetes.places import engine_url
from hanok.kubernetes.splits import split_of
from hanok.spec.tree import Deploy, Endpoint, Model, VllmEndpoint
from hanok.spec.tree.models import ModelType
from hanok.spec.written import Written

HERE = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
GIVING_WAY = ("llamacpp", "vllm", "sentence-encoder", "echo", "script")
"""Engines of one machine, in whose place a model with `deploy` is served by GPUs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EnginePlan:
    """One deployment of vLLM. `index` is the model's place in the file, `endpoint` the one that it stands for.

    `name` is its Service, unique among engines. `least` and `most` are replicas: as `scale` says, else as many as the
    declared load needs.
    """

    name: str
    model: Model
    index: int
    endpoint: int | None
    weights: str
    flags: Mapping[str, str | int | float | bool]
    deploy: Deploy
    anatomy: Anatomy
    option: Option
    role: Literal["prefill", "decode"] | None
    least: int
    most: int

    @property
    def type(self) -> ModelType:
        return self.model.type

    @property
    def url(self) -> str:
        return engine_url(self.name)

    @property
    def gpus(self) -> int:
        """GPUs (or slices) of one pod."""
        return self.option.split.gpus // self.machines

    @property
    def machines(self) -> int:
        """Machines that one replica is spread over."""
        return max(1, -(-self.option.split.gpus // self.option.machine.gpus))


def plan_engines(
    models: Sequence[Model],
    written: Written,
    catalog: Catalog,
    anatomy: Callable[[str], Anatomy],
    *,
    sliced: bool = False,
) -> list[EnginePlan]:
    """Every engine; `sliced`: on slices of GPUs where these cost less.

    Raises `SpecError` with each model that nothing can serve, and why.
    """
    choose = Chooser(catalog=catalog, anatomy=anatomy, sliced=sliced)
    found: list[EnginePlan] = []
    problems: list[Problem] = []
    for index, model in enumerate(models):
        try:
            found += _of_model(model, index, choose)
        except PlanError as error:
            hint = error.hint or "`hanok plan` shows every machine, and why it cannot"
            problems.append(written.problem(_place(model, index), f"{model.name}: {error.message}", hint))
    if problems:
        raise SpecError(problems)
    return found


def _place(model: Model, index: int) -> tuple[str | int, ...]:
    return ("models", index, "deploy") if model.deploy else ("models", index)


def is_replaced(endpoint: Endpoint, model: Model) -> bool:
    """Whether engines of the cluster stand in an endpoint's place."""
    if endpoint.engine == "vllm":
        return True
    if model.deploy is None:
        return False
    if endpoint.engine == "openai":
        host = urlsplit(endpoint.url).hostname or ""
        return host in HERE or is_in_cluster(host)
    return endpoint.engine in GIVING_WAY


def is_in_cluster(host: str) -> bool:
    """Whether only a cluster knows a host, as `vllm` or `vllm.ai.svc`: `vllm.ai` may be anybody's."""
    plain = host.rstrip(".").removesuffix(".cluster.local")
    return plain.endswith(".svc") or ("." not in plain and ":" not in plain)


def _of_model(model: Model, index: int, choose: Chooser) -> Iterator[EnginePlan]:
    wishes = next(wishes_of(model), None)
    replaced = [place for place, each in enumerate(model.serve) if is_replaced(each, model)]
    if wishes is None or not replaced:
        return
    served = [place for place in replaced if model.serve[place].engine == "vllm"]
    for endpoint in served or [None]:
        yield _engine(model, index, endpoint, wishes, choose)


def _engine(model: Model, index: int, endpoint: int | None, deploy: Deploy, choose: Chooser) -> EnginePlan:
    declared = model.serve[endpoint] if endpoint is not None else None
    vllm = declared if isinstance(declared, VllmEndpoint) else None
    weights = (vllm.model if vllm else None) or deploy.weights or model.name
    known = choose.anatomy(weights)
    flags = deploy.flags | (vllm.flags if vllm else {})
    option = choose.cheapest(known, deploy, split_of(flags))
    return EnginePlan(
        name=_name(model, endpoint, vllm),
        model=model,
        index=index,
        endpoint=endpoint,
        weights=weights,
        flags=flags,
        deploy=deploy,
        anatomy=known,
        option=option,
        role=vllm.role if vllm else None,
        least=model.scale.min if model.scale else option.replicas,
        most=model.scale.max if model.scale else option.replicas,
    )


def _name(model: Model, endpoint: int | None, vllm: VllmEndpoint | None) -> str:
    if vllm is None or len([each for each in model.serve if each.engine == "vllm"]) == 1:
        return label(model.name, 50)
    return label(f"{model.name}-{vllm.role or (endpoint or 0) + 1}", 50)
