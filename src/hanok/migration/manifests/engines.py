"""vLLM's containers: each becomes an endpoint, and says what its model needs of GPUs.

Preflight reads the flags, in whatever way they are written. Which Service leads to a pod says where it is asked; pods
that answer to the same name are endpoints of one model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from hanok.migration.manifests.flags import flag_reason, further_flags, planned_of
from hanok.migration.manifests.keys import Keys, given
from hanok.migration.manifests.pools import choose_gpus, is_known
from hanok.migration.manifests.reasons import CONTAINER, POD
from hanok.migration.manifests.scales import read_scale, together
from hanok.migration.manifests.services import Services
from hanok.migration.manifests.told import Block, Draft, Path, Told, as_model
from hanok.preflight import Case, Manifest
from hanok.preflight.consistency.gateways import target
from hanok.preflight.engines import Engine
from hanok.preflight.manifests import mappings_at, whole_at
from hanok.preflight.workloads import Workload
from hanok.spec.checks import quoted

_INVENTED = re.compile(r"(^|/)llm-d/(prefill|decode)(:|@|$)")
_RERANKING = ("score", "classify", "rerank")


@dataclass(frozen=True, kw_only=True, eq=False)
class Served:
    """An engine and the address where it is asked."""

    engine: Engine
    url: str

    @property
    def manifest(self) -> Manifest:
        return self.engine.workload.manifest


def read_engines(case: Case, draft: Draft, told: Told, keys: Keys) -> None:
    """Every vLLM of the cluster. Models that a gateway leads to are there already: they learn what they need."""
    routed = set(draft.models)
    scales: dict[str, list[Block]] = {}
    services = Services(case)
    for engine in _usable(case, told):
        served = Served(engine=engine, url=_address(services, engine, told))
        told.take(served.manifest)
        behind = list(_leading_to(case, engine, draft, routed))
        to = f"models[{behind[0] if behind else as_model(engine.served_names[0])}]"
        _tell(served, told, to)
        deploy = read_deploy(case, engine, told, to) | _further(engine, case)
        scale = read_scale(case, engine.workload, told, f"{to}.scale")
        for name in behind:
            draft.models[name]["deploy"] = deploy | draft.models[name].get("deploy", {})
            told.carried(served.manifest, engine.path(), f"models[{name}].deploy", "asked as the gateway asks it")
        for name in behind or _add(served, deploy, draft, told, keys):
            scales.setdefault(name, []).append(scale)
    for name, each in scales.items():
        if scale := together(each):
            draft.models[name]["scale"] = scale


def _usable(case: Case, told: Told) -> Iterator[Engine]:
    for engine in case.engines:
        manifest, image = engine.workload.manifest, engine.container.image
        if engine.workload.part == "worker":
            told.take(manifest)
            told.left(manifest, engine.path(), "a worker of the same engine: its leader is asked")
        elif _INVENTED.search(image):
            told.take(manifest)
            told.left(manifest, engine.path(), f"{image} was never published, so nothing can be asked there")
        elif not engine.model or "$" in engine.model:
            message = "which model it serves is only known when it starts: write it into platform.yaml"
            told.left(manifest, engine.path("model"), message)
        elif engine.pooling and engine.given.get("task") == "reward":
            told.left(manifest, engine.path("task"), "Hanok has no models that reward")
        else:
            yield engine


def _address(services: Services, engine: Engine, told: Told) -> str:
    """Where it is asked; a guess, which is told, where no Service selects its pods."""
    workload = engine.workload
    for service in services.before(workload):
        told.take(service)
        told.carried(service, (), "models[].serve[].url", f"leads to {workload.title}")
        return f"http://{service.name}.{service.namespace}.svc:{_port(service, engine)}/v1"
    manifest = workload.manifest
    url = f"http://{manifest.name}.{manifest.namespace}.svc:{engine.whole('port', 8000)}/v1"
    told.wrong(manifest, ("metadata", "name"), f"no Service leads to its pods; {url} was taken: make one of this name")
    return url


def _port(service: Manifest, engine: Engine) -> int:
    """The Service's port that leads to the engine's, else its first."""
    own = engine.whole("port", 8000)
    names = {
        each.get("name") for each in mappings_at(engine.container.body, "ports") if own == each.get("containerPort")
    }
    ports = mappings_at(service.body, "spec", "ports")
    for each in ports:
        aim = each.get("targetPort", each.get("port"))
        if aim == own or (isinstance(aim, str) and aim in names):
            return whole_at(each, "port") or own
    return (whole_at(ports[0], "port") if ports else None) or own


def _leading_to(case: Case, engine: Engine, draft: Draft, routed: set[str]) -> Iterator[str]:
    """The models of a gateway with an endpoint that leads to this engine; that is then written in full."""
    for name in sorted(routed):
        leading = [
            endpoint
            for endpoint in endpoints_of(draft.models[name])
            if _leads_to(case, str(endpoint.get("url")), engine)
        ]
        for endpoint in leading:
            endpoint["url"] = _in_full(str(endpoint["url"]), engine.workload.namespace)
        if leading:
            yield name


def _leads_to(case: Case, url: str, engine: Engine) -> bool:
    found = target(case, url, engine.workload.namespace)
    return found is not None and engine.workload in found.workloads


def _in_full(url: str, namespace: str) -> str:
    """An address of a Service as any namespace knows it: `vllm` and `vllm.ai` as `vllm.ai.svc`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ".svc" in host or host.count(".") > 1:
        return url
    port = re.search(r":\d+$", parts.netloc)
    full = f"{host}.svc" if "." in host else f"{host}.{namespace}.svc"
    return urlunsplit(parts._replace(netloc=f"{full}{port[0] if port else ''}"))


def endpoints_of(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A model's endpoints, also where it has one without a list."""
    serve: Any = model.get("serve")
    found = cast("list[Any]", serve if isinstance(serve, list) else [serve])
    return [cast("dict[str, Any]", each) for each in found if isinstance(each, dict)]


def _add(served: Served, deploy: Block, draft: Draft, told: Told, keys: Keys) -> Iterator[str]:
    """The models that it answers as: a new one for each name, or one more endpoint of one that there is."""
    engine, manifest = served.engine, served.manifest
    endpoint: Block = {"engine": "openai", "url": served.url, "model": engine.served_names[0]}
    if (key := _key(engine, told, keys, manifest)) is not None:
        endpoint["key"] = key
    for place, served_name in enumerate(engine.served_names):
        name = as_model(served_name)
        known = draft.models.get(name)
        if known is not None and known.get("type", "chat") == _type(engine):
            _join(known, endpoint, served, name, told)
            known.setdefault("deploy", deploy)
            yield name
            continue
        model: Block = {"name": name} | ({"type": _type(engine)} if _type(engine) != "chat" else {})
        model |= {"serve": [dict(endpoint)], "deploy": deploy}
        name = draft.add("models", model, manifest, engine.path())
        if place:
            message = (
                "Hanok has no aliases: a model of its own with the same endpoint, that counts its calls for itself"
            )
            told.changed(manifest, engine.path("served-model-name"), message, f"models[{name}]")
        else:
            told.carried(manifest, engine.path(), f"models[{name}].serve")
        yield name


def _join(model: Block, endpoint: Block, served: Served, name: str, told: Told) -> None:
    """One more endpoint, unless the same Service leads to both."""
    there = endpoints_of(model)
    if any(each.get("url") == endpoint["url"] for each in there):
        message = "the same Service leads to it: one endpoint, and Kubernetes spreads the calls"
        told.changed(served.manifest, served.engine.path(), message, f"models[{name}].serve")
    else:
        model["serve"] = [*there, dict(endpoint)]
        told.carried(served.manifest, served.engine.path(), f"models[{name}].serve", "one more endpoint of this name")


def _type(engine: Engine) -> str:
    if not engine.pooling:
        return "chat"
    asked = {engine.given.get("task"), engine.given.get("convert")}
    return "rerank" if asked & set(_RERANKING) else "embedding"


def _key(engine: Engine, told: Told, keys: Keys, manifest: Manifest) -> str | None:
    """The key that the engine asks for."""
    variables = given(engine.container.body, engine.container.path)
    written = engine.given.get("api-key")
    named = re.fullmatch(r"\$[({](\w+)[)}]", written or "")
    if held := variables.get(named[1] if named else "VLLM_API_KEY"):
        return keys.carry(held, told, manifest, to="models[].serve[].key")
    if written:
        path = engine.path("api-key")
        return keys.hide(written.split()[0], "VLLM_API_KEY", told, manifest, path, to="models[].serve[].key")
    return None


def read_deploy(case: Case, engine: Engine, told: Told, to: str, *, judged: bool = True) -> Block:
    """What the engine's flags and pod say of GPUs, in the words of `deploy`; `judged`: machines only that hold it."""
    deploy: Block = {"weights": engine.model, **planned_of(engine.flags)}
    deploy |= choose_gpus(case, engine.workload, told, to=f"{to}.deploy", needs=deploy, judged=judged)
    return deploy


def _further(engine: Engine, case: Case) -> Block:
    """`deploy.flags`, without trust in code that the model does not have."""
    flags = dict(further_flags(engine.flags))
    if "trust-remote-code" in flags and is_known(case, engine.model):
        del flags["trust-remote-code"]
    return {"flags": flags} if flags else {}


def _tell(served: Served, told: Told, model: str) -> None:
    """A note for every flag, and for whatever else stands in the pod."""
    engine, manifest = served.engine, served.manifest
    for flag in engine.flags:
        to, reason = flag_reason(flag)
        path = engine.path(flag)
        if to is not None:
            told.carried(manifest, path, f"{model}.{to}", reason)
        else:
            told.left(manifest, path, f"--{flag.name}: {reason}")
    workload = engine.workload
    told.leave_rest(manifest, engine.container.path, engine.container.body, CONTAINER, known="name command args ports")
    told.leave_rest(manifest, (*workload.path, "spec"), workload.spec, POD, known="containers")
    beside: Sequence[Path] = [each.path for each in workload.everyone if each.path != engine.container.path]
    for path in beside:
        told.left(manifest, path, f"a container beside {quoted(engine.container.name or 'the engine')}")


def engine_pods(case: Case) -> set[Workload]:
    """The pods in which engines run."""
    return {each.workload for each in case.engines}
