"""The platform.yaml of a cluster: the file as it is written, variables unfilled, with what differs there.

Only addresses differ: of engines that run on one machine, of databases that were files, of folders that come with the
image. Secrets stay variables, so that the whole is a ConfigMap. Pure.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import lru_cache
from typing import Any, cast

from hanok.kubernetes.component import Body
from hanok.kubernetes.engines import EnginePlan, is_replaced
from hanok.kubernetes.places import COLLECTOR, GATEWAY_PORT, MILVUS
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.receivers import receivers
from hanok.kubernetes.replicas import gateway_endpoints, is_picked
from hanok.kubernetes.servers import ANSWERS, REDIS, RUNS, gives_way
from hanok.kubernetes.writing import as_yaml
from hanok.spec.tree import ADJUSTABLE, Model
from hanok.spec.written import VARIABLE

DATABASE, REDIS_VARIABLE, CACHE_VARIABLE = "HANOK_DATABASE", "HANOK_REDIS", "HANOK_CACHE"
"""Variables of Hanok's pods with the addresses of databases that the cluster makes."""
FOLDER, STATE, IMAGE_FOLDER = "/etc/hanok", "/var/lib/hanok", "/srv/platform"
"""Where its pods find platform.yaml and the texts that it names; keep what is kept; find what came with the image."""
THREADS = 2
"""Of an embedded llama.cpp that says nothing of its own: by default it would count the cores of the whole machine."""
AT_START = ("name", "state", "ledger", "milvus")
"""What takes effect when a process starts; all else is taken up while it runs."""
WORD = "${env:%s}"


@lru_cache(maxsize=4)
def rewrite(plan: ClusterPlan) -> str:
    """The file's text. Its last line names the digest of the texts beside it, so that their change is noticed, too."""
    text = as_yaml(rewritten(plan))
    return text + f"# texts: {_digest(plan.texts)}\n" if plan.texts else text


def variables_read(plan: ClusterPlan) -> set[str]:
    """Variables that Hanok's pods need: not those of what the cluster's own parts do for them, as export spans."""
    return {found[1] for found in VARIABLE.finditer(rewrite(plan))}


def rewritten(plan: ClusterPlan) -> Body:
    """The same as values."""
    values = copy.deepcopy(plan.written.values)
    values["cluster"] = {"kubernetes": plan.cluster.kubernetes}  # whoever proves the tree asks for that version
    values = _without_defaults(values, plan.secret_variables)
    for block, key in gives_way(plan.written, plan.cluster):
        values[block].pop(key, None)
    values["state"] = STATE
    values["gateway"] = {**_block(values, "gateway"), "host": "0.0.0.0", "port": GATEWAY_PORT, "workers": 1}
    values["models"] = [_model(plan, index, each) for index, each in enumerate(values["models"])]
    _name_databases(plan, values)
    _name_cache(plan, values)
    if plan.milvus:
        values["milvus"] = {**_block(values, "milvus"), "uri": MILVUS}
    if plan.cluster.observe.collector and receivers(plan):
        values["telemetry"] = {**_block(values, "telemetry"), "export": {"to": "otlp", "url": COLLECTOR}}
    for base in _list(values, "knowledge"):
        _leave_to_jobs(base)
    return values


def _without_defaults(value: Any, names: Set[str]) -> Any:
    """The same, and these variables without their defaults, which are one machine's: a secret one never gets in."""
    if isinstance(value, dict):
        return {key: _without_defaults(each, names) for key, each in cast("Body", value).items()}
    if isinstance(value, list):
        return [_without_defaults(each, names) for each in cast("list[Any]", value)]
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: WORD % found[1] if found[1] in names else found[0], value)
    return value


def start_digest(plan: ClusterPlan) -> str:
    """Changes where pods must start anew to take it up."""
    values = rewritten(plan)
    return _digest({key: values.get(key) for key in AT_START})


# --- Databases --------------------------------------------------------------------------------------------------------


def _name_databases(plan: ClusterPlan, values: Body) -> None:
    ledger = _block(values, "ledger")
    if plan.postgres:
        ledger["database"] = WORD % DATABASE
    if plan.redis:
        ledger["redis"] = WORD % REDIS_VARIABLE
    values["ledger"] = ledger
    declared = plan.platform.agents or values.get("runs") is not None
    if declared and not plan.names(RUNS):
        values["runs"] = {**_block(values, "runs"), "database": ledger["database"]}


def caches(plan: ClusterPlan) -> bool:
    """Whether the cluster makes a server for answers that are kept: some are, and the file does not say where.

    A server that the cluster makes for budgets is none for answers, which would crowd them out.
    """
    declared = plan.platform.cache
    used = declared.all_models or any(each.cache is not None and each.cache.use for each in plan.platform.models)
    if "store" not in declared.model_fields_set:
        return used
    return used and declared.store == "redis" and not plan.names(REDIS if declared.redis is None else ANSWERS)


def _name_cache(plan: ClusterPlan, values: Body) -> None:
    if caches(plan):
        values["cache"] = {**_block(values, "cache"), "store": "redis", "redis": WORD % CACHE_VARIABLE}


# --- Models -----------------------------------------------------------------------------------------------------------


def _model(plan: ClusterPlan, index: int, written: Body) -> Body:
    model, engines = plan.platform.models[index], list(plan.of_model(index))
    endpoints = list(_endpoints(plan, model, engines, _several(written["serve"])))
    planned = ("deploy", "scale") if engines else ()  # what they say is in the tree
    kept = {key: value for key, value in written.items() if key not in planned}
    return {**kept, "serve": endpoints if len(endpoints) > 1 else endpoints[0]}


def _endpoints(plan: ClusterPlan, model: Model, engines: Sequence[EnginePlan], serve: Sequence[Body]) -> Iterator[Body]:
    """Each endpoint as it is, or in its place the cluster's engine; one engine stands for all that name none."""
    by_place = {each.endpoint: each for each in engines}
    for place, (declared, endpoint) in enumerate(zip(model.serve, serve, strict=True)):
        if not engines or not is_replaced(declared, model):
            yield _local(endpoint)
        elif engine := by_place.pop(place, None) or by_place.pop(None, None):
            kept = {key: endpoint[key] for key in ADJUSTABLE if key in endpoint}
            if is_picked(plan, engine):
                kept.pop("role", None)  # the picker pairs engines
            yield from ({**each, **kept} for each in gateway_endpoints(plan, engine))


def _local(endpoint: Body) -> Body:
    """An endpoint that stays: what it names beside the file came with the image."""
    if endpoint["engine"] != "llamacpp":
        return endpoint
    model = endpoint.get("model", "")
    moved = {"model": f"{IMAGE_FOLDER}/{model}"} if is_in_image(model) and model.endswith(".gguf") else {}
    return {"threads": THREADS, **endpoint, **moved}


# --- Knowledge --------------------------------------------------------------------------------------------------------


def _leave_to_jobs(base: Body) -> None:
    """Jobs ingest, not gateways: each of several would."""
    base["on_start"] = False
    base.pop("schedule", None)
    for source in _several(base["sources"]):
        if "path" in source and is_in_image(source["path"]):
            source["path"] = f"{IMAGE_FOLDER}/{source['path']}"


def is_in_image(path: str) -> bool:
    """Whether a file or folder can come with the image: it lies below the folder of platform.yaml."""
    return bool(path) and not path.startswith(("/", "~")) and ".." not in path.split("/") and "://" not in path


def _several(value: Any) -> Sequence[Body]:
    """One block stands for a list of one."""
    return cast("Sequence[Body]", value if isinstance(value, list) else [value])


def _block(values: Body, key: str) -> Body:
    return dict(values.get(key) or {})


def _list(values: Body, key: str) -> Sequence[Body]:
    return cast("Sequence[Body]", values.get(key) or [])


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
