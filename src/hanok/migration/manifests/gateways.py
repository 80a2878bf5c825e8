"""LiteLLM on a cluster: its configuration, wherever it stands, and what its container is given beside it.

`hanok import litellm` reads the configuration; its places become those of the manifest around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path as File
from typing import Any, cast

import yaml
from yaml.nodes import ScalarNode

from hanok.errors import SpecError
from hanok.migration.litellm import NothingToCarryOver, translate
from hanok.migration.manifests.keys import Keys, given
from hanok.migration.manifests.reasons import CONTAINER, POD
from hanok.migration.manifests.services import Services
from hanok.migration.manifests.told import Draft, Path, Told
from hanok.migration.notes import Note
from hanok.migration.secrets import DATABASE_STAND_IN, is_placeholder, sounds_secret
from hanok.preflight import Case, Manifest
from hanok.preflight.charts import Chart, charts
from hanok.preflight.consistency.embedded import Embedded, embedded
from hanok.preflight.consistency.gateways import Gateway, gateways
from hanok.preflight.image import component
from hanok.preflight.manifests import Body, list_at, mapping_at, text_at
from hanok.preflight.workloads import Container, Workload

_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_OWN_ENV = ("LITELLM_MASTER_KEY", "DATABASE_URL")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Config:
    """One configuration: its text, the manifest that holds it, the way there, and where its lines are.

    `first` is the line of its first line, 0 where lines are found by the places in the manifest.
    """

    text: str
    manifest: Manifest
    path: Path
    first: int = 0


def read_gateways(case: Case, draft: Draft, told: Told, keys: Keys) -> None:
    """Every LiteLLM of the cluster."""
    for config in _configs(case):
        told.take(config.manifest)
        _read(config, draft, told, keys)
    configured = {id(container.body) for each in gateways(case) for _, container in each.users}
    for chart in charts(case.cluster):
        if "litellm" in chart.name:
            _read_chart(chart, draft, told, keys)
    for each in gateways(case):
        _read_users(each, draft, told, keys)
    for workload in case.workloads:
        for container in workload.containers:
            if component(container) == "litellm" and id(container.body) not in configured:
                message = "LiteLLM without a configuration in these files: name that, too"
                told.left(workload.manifest, container.path, message)
    _take_services(case, told)


_OF_CHART = {
    "replicaCount": "Hanok takes the place of LiteLLM's pods", "image": "Hanok takes the place of LiteLLM's pods",
    "resources": "Hanok takes the place of LiteLLM's pods", "autoscaling": "Hanok takes the place of LiteLLM's pods",
    "ingress": "Hanok is the gateway: gateway.host and gateway.port",
    "db": "set `ledger.database`: Hanok keeps its own",
    "service": "Hanok is the gateway: gateway.host and gateway.port", "redis": "see ledger.redis and cache.redis",
}  # fmt: skip


def _read_chart(chart: Chart, draft: Draft, told: Told, keys: Keys) -> None:
    """What LiteLLM's chart is told beside its configuration: whose Secret holds the master key."""
    manifest, secret = chart.manifest, text_at(chart.values, "masterkeySecretName")
    told.take(manifest)
    if secret and "admin_key" not in draft.rest.get("gateway", {}):
        key = text_at(chart.values, "masterkeySecretKey") or "masterkey"
        draft.rest.setdefault("gateway", {})["admin_key"] = keys.of_secret(secret, key, "LITELLM_MASTER_KEY")
        told.carried(manifest, (*chart.place, "masterkeySecretName"), "gateway.admin_key")
    known = "proxy_config masterkeySecretName masterkeySecretKey masterkey environmentSecrets"
    told.leave_rest(manifest, chart.place, chart.values, _OF_CHART, known=known)
    if text_at(chart.values, "masterkey"):
        told.wrong(manifest, (*chart.place, "masterkey"), "a secret stands in the file. It was not copied")
    if chart.values.get("environmentSecrets"):
        message = "its variables are those that the configuration names: set them for Hanok"
        told.changed(manifest, (*chart.place, "environmentSecrets"), message, "models[].serve[].key")


def _configs(case: Case) -> Iterator[_Config]:
    for each in embedded(case.cluster, holding="model_list"):
        yield _embedded(each)
    for chart in charts(case.cluster):
        config = chart.values.get("proxy_config")
        if isinstance(config, dict) and "litellm" in chart.name:
            path: Path = (*chart.place, "proxy_config")
            yield _Config(text=_dumped(cast("Body", config)), manifest=chart.manifest, path=path)


def _embedded(each: Embedded) -> _Config:
    if each.outer is each.inner:
        return _Config(text=_dumped(each.body), manifest=each.outer, path=())
    path: Path = ("data", each.key)
    text = text_at(each.outer.body, *path)
    first = each.outer.line_within(path, 0)
    node = each.inner.node
    if first == each.outer.line(*path) or isinstance(node, ScalarNode):  # not a block: no lines of its own
        return _Config(text=_dumped(each.body), manifest=each.outer, path=path)
    return _Config(text=text, manifest=each.outer, path=path, first=first)


def _dumped(body: Body) -> str:
    return yaml.safe_dump(dict(body), sort_keys=False, allow_unicode=True)


def _read(config: _Config, draft: Draft, told: Told, keys: Keys) -> None:
    try:
        translation = translate("\n" * (config.first - 1) + config.text, File(config.manifest.file), keys.variables)
    except NothingToCarryOver as error:
        _tell(config, error.notes, told)
        return
    except SpecError as error:
        told.wrong(config.manifest, config.path, f"LiteLLM's configuration cannot be read: {error.problems[0].message}")
        return
    _tell(config, translation.notes, told)
    _merge(config, translation.platform, draft, told)


def _tell(config: _Config, notes: Any, told: Told) -> None:
    for note in cast("list[Note]", list(notes)):
        if not config.first:
            note = replace(note, line=config.manifest.line(*config.path, *_steps(note.path)))
        told.add(replace(note, path=f"{config.manifest.title}: {note.path}" if config.manifest.kind else note.path))


def _steps(path: str) -> Path:
    """`a.b[0]` as the steps of a way."""
    return tuple(int(found[1]) if found[1] else found[2] for found in _STEP.finditer(path))


def _merge(config: _Config, platform: Mapping[str, Any], draft: Draft, told: Told) -> None:
    """The blocks of one configuration among those of others."""
    for key, value in platform.items():
        if key == "models":
            for model in cast("list[dict[str, Any]]", value):
                if model["name"] in draft.models:
                    told.left(config.manifest, config.path, f"{model['name']}: another configuration has it already")
                else:
                    _drop_no_keys(model)
                    draft.add("models", model, config.manifest, config.path)
        elif isinstance(value, dict):
            draft.rest[key] = {**cast("dict[str, Any]", value), **mapping_at(draft.rest, key)}
        else:
            draft.rest[key] = [*list_at(draft.rest, key), *cast("list[Any]", value)]


def _drop_no_keys(model: dict[str, Any]) -> None:
    """LiteLLM wants a key for every endpoint, so those that ask for none are given `dummy`; Hanok then sends none."""
    serve: Any = model.get("serve")
    for endpoint in cast("list[dict[str, Any]]", serve if isinstance(serve, list) else [serve]):
        if endpoint.get("engine") == "openai" and is_placeholder(str(endpoint.get("key", "?"))):
            del endpoint["key"]


def _read_users(gateway: Gateway, draft: Draft, told: Told, keys: Keys) -> None:
    """What LiteLLM's containers are given: the master key and the database, and whose keys are whose."""
    for workload, container in gateway.users:
        told.take(workload.manifest)
        for name, each in given(container.body, container.path).items():
            if name == "LITELLM_MASTER_KEY" and "admin_key" not in draft.rest.get("gateway", {}):
                key = keys.carry(each, told, workload.manifest, to="gateway.admin_key")
                if key.startswith("${env:"):
                    draft.rest.setdefault("gateway", {})["admin_key"] = key
            elif name == "DATABASE_URL" and "database" not in draft.rest.get("ledger", {}):
                url = keys.carry(each, told, workload.manifest, stand_in=DATABASE_STAND_IN, to="ledger.database")
                if url.startswith("${env:"):
                    draft.rest.setdefault("ledger", {})["database"] = url
            elif each.secret is not None:
                keys.of_secret(*each.secret, name)
                told.carried(workload.manifest, each.path, "models[].serve[].key", "where the configuration names it")
            elif name not in _OWN_ENV and sounds_secret(name) and not is_placeholder(each.text or ""):
                message = f"a secret stands in the file. It was not copied: set {name} to it where it is named"
                told.wrong(workload.manifest, each.path, message)
            elif name not in _OWN_ENV:
                told.left(workload.manifest, each.path, "a variable of LiteLLM's: set it for Hanok where it is named")
        _tell_pod(workload, container, told)


def _tell_pod(workload: Workload, container: Container, told: Told) -> None:
    message = "Hanok takes the place of LiteLLM's pods"
    reasons = dict.fromkeys((*CONTAINER, *POD), message)
    told.leave_rest(workload.manifest, container.path, container.body, reasons, known="name env ports")
    told.leave_rest(workload.manifest, (*workload.path, "spec"), workload.spec, reasons, known="containers")
    if workload.replicas != 1:
        told.left(workload.manifest, ("spec", "replicas"), message)


def _take_services(case: Case, told: Told) -> None:
    """Services that lead to LiteLLM: callers ask Hanok instead."""
    services = Services(case)
    users = dict.fromkeys(workload for each in gateways(case) for workload, _ in each.users)
    for service in dict.fromkeys(each for workload in users for each in services.before(workload)):
        message = "callers that asked LiteLLM here ask Hanok: gateway.host, gateway.port, or point it there"
        told.take(service)
        told.changed(service, ("spec", "ports"), message, "gateway.port")
