"""Hanok's own platform.yaml in its ConfigMap, with what rendering put into it taken out again.

Addresses of databases that the cluster makes, the folder of state, the gateway's port: `hanok render` adds them anew.
The spans' receivers are the collector's, and the schedules of knowledge are those of the CronJobs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from hanok.migration.manifests.keys import Keys
from hanok.migration.manifests.rendered.tree import HANOK, OBSERVABILITY, RenderedTree
from hanok.migration.manifests.told import Block, Draft, Path, Told
from hanok.migration.redis import ADDRESS_STAND_IN
from hanok.migration.secrets import DATABASE_STAND_IN, STAND_IN, URL_STAND_IN
from hanok.preflight import Manifest
from hanok.preflight.manifests import NO_BODY, Body, Cluster, at, mapping_at, mappings_at, text_at, texts_at
from hanok.preflight.reading import read_mapping

_NAMED = ("models", "knowledge", "tools", "agents")
_BLOCKS = ("gateway", "ledger", "telemetry", "cache", "milvus")
"""What other readers add to."""
_VARIABLE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")
_FORMS = {"database": DATABASE_STAND_IN, "redis": ADDRESS_STAND_IN, "url": URL_STAND_IN, "uri": URL_STAND_IN}
_FOLDER = "/srv/platform/"
"""Where what came with the image lies."""
_ADDED: tuple[tuple[Path, object], ...] = (
    (("gateway", "host"), "0.0.0.0"),
    (("gateway", "port"), 4242),
    (("gateway", "workers"), 1),
    (("state",), "/var/lib/hanok"),
    (("ledger", "database"), "${env:HANOK_DATABASE}"),
    (("runs", "database"), "${env:HANOK_DATABASE}"),
    (("ledger", "redis"), "${env:HANOK_REDIS}"),
    (("cache", "redis"), "${env:HANOK_CACHE}"),
    (("milvus", "uri"), "http://milvus-milvus.knowledge.svc:19530"),
)
"""What rendering writes into the file for the cluster."""
BASE = "all of it"
"""Where the file itself goes."""
_COLLECTOR = "http://hanok-collector.observability.svc:4318"


@dataclass(frozen=True, kw_only=True)
class Config:
    """A platform file in a ConfigMap."""

    manifest: Manifest
    key: str
    body: Body

    @property
    def path(self) -> Path:
        return ("data", self.key)


def configs(cluster: Cluster) -> Iterator[Config]:
    """Every platform file in a ConfigMap."""
    for manifest in cluster.of("ConfigMap", group=""):
        for key, text in mapping_at(manifest.body, "data").items():
            body = read_mapping(text) if isinstance(text, str) and "serve" in text else NO_BODY
            if any("serve" in each for each in mappings_at(body, "models")):
                yield Config(manifest=manifest, key=key, body=body)


def read_platform(tree: RenderedTree, config: Config, draft: Draft, told: Told, keys: Keys) -> None:
    """The file as it was before it was rendered, as far as the objects tell."""
    body = cast("dict[str, Any]", _plain(config.body))
    made = tree.find("StatefulSet", "hanok", HANOK) is not None or tree.find("Deployment", "hanok", HANOK) is not None
    told.take(config.manifest)
    told.carried(config.manifest, config.path, BASE, "Hanok's own platform.yaml: the base of the new file")
    if made:
        _take_out(body)
        _restore_receivers(tree, body, told)
        for base in _several(body.get("knowledge")):
            _restore_base(tree, base, told)
    _tell_texts(tree, told)
    _keep(body, config, draft, told, keys)


def _keep(body: Block, config: Config, draft: Draft, told: Told, keys: Keys) -> None:
    for key, value in body.items():
        if key in _NAMED and isinstance(value, list):
            for block in cast("list[Any]", value):
                if isinstance(block, dict) and "name" in block:
                    draft.add(key, cast("Block", block), config.manifest, config.path)
        elif key in _BLOCKS and not isinstance(value, dict):
            told.wrong(config.manifest, config.path, f"`{key}` is no block of keys: it was left out")
        else:
            draft.rest[key] = value
    for key, text in _texts(body):
        for found in _VARIABLE.finditer(text):
            if found[2] is None:
                keys.variables.refer(found[1], _FORMS.get(key, STAND_IN))
            else:
                keys.variables.offer(found[1], found[2])


# --- What rendering put in --------------------------------------------------------------------------------------------


def _take_out(body: Block) -> None:
    if at(body, "cache", "redis") == "${env:HANOK_CACHE}":
        body["cache"].pop("store", None)
    for path, value in _ADDED:
        if at(body, *path) == value:
            block: Block = at(body, *path[:-1]) if path[1:] else body
            del block[str(path[-1])]
            if not block:
                del body[str(path[0])]
    for model in mappings_at(body, "models"):
        for endpoint in _several(model.get("serve")):
            _unmoved(endpoint)


def _unmoved(endpoint: Block) -> None:
    """An embedded model, as it is beside the platform file."""
    if endpoint.get("engine") == "llamacpp":
        if endpoint.get("threads") == 2:
            del endpoint["threads"]
        if str(endpoint.get("model", "")).startswith(_FOLDER):
            endpoint["model"] = str(endpoint["model"]).removeprefix(_FOLDER)


def _restore_receivers(tree: RenderedTree, body: Block, told: Told) -> None:
    """Where the collector sends spans, in place of the collector; the cluster's own receivers follow from `observe`."""
    telemetry = body.get("telemetry")
    exports = _several(cast("Block", telemetry).get("export")) if isinstance(telemetry, dict) else []
    collector = tree.find("OpenTelemetryCollector", "hanok", OBSERVABILITY)
    if not any(each.get("url") == _COLLECTOR for each in exports):
        return
    telemetry = cast("Block", telemetry)
    found = [each for each in exports if each.get("url") != _COLLECTOR]
    if collector is not None:
        told.take(collector)
        for name, exporter in mapping_at(collector.body, "spec", "config", "exporters").items():
            if (export := _export(tree, name.partition("/")[2], mapping_at({"e": exporter}, "e"))) is not None:
                found.append(export)
                told.carried(collector, ("spec", "config", "exporters", name), "telemetry.export[]")
    telemetry["export"] = found
    if not found:
        del telemetry["export"]
    if not telemetry:
        del body["telemetry"]


def _export(tree: RenderedTree, name: str, exporter: Body) -> Block | None:
    """A receiver by its name; what is secret of it stands in a Secret of the collector's, as a template."""
    to = name.partition("-")[0]
    if to not in ("otlp", "langfuse", "langsmith", "mlflow"):
        return None  # `cluster-langfuse`, `cluster-mlflow`: the cluster's own
    secret = tree.find("ExternalSecret", "hanok-collector", OBSERVABILITY)
    texts = mapping_at(secret.body, "spec", "target", "template", "data") if secret else NO_BODY
    headers = {key: _text(value, texts) for key, value in mapping_at(exporter, "headers").items()}
    found: Block = {"to": to, "url": _text(text_at(exporter, "traces_endpoint"), texts)}
    found |= _own_keys(found, headers)
    headers.pop("x-langfuse-ingestion-version", None)
    found["url"] = found["url"].removesuffix("/v1/traces")
    return found | ({"headers": headers} if headers else {})


def _own_keys(found: Block, headers: dict[str, str]) -> Block:
    """What only this receiver has, out of its address and its headers, which lose it."""
    match found["to"]:
        case "langfuse":
            pair = headers.pop("authorization", "").removeprefix("Basic ").partition(":")
            return {
                "url": re.sub(r"/api/public/otel(/v1/traces)?$", "", found["url"]),
                "public_key": pair[0] or "${env:LANGFUSE_PUBLIC_KEY}",
                "secret_key": pair[2] or "${env:LANGFUSE_SECRET_KEY}",
            }
        case "langsmith":
            key = headers.pop("x-api-key", "${env:LANGSMITH_API_KEY}")
            project = headers.pop("langsmith-project", "")
            own = {"url": re.sub(r"/otel(/v1/traces)?$", "", found["url"]), "secret_key": key}
            return own | ({"project": project} if project else {})
        case "mlflow":
            project = headers.pop("x-mlflow-experiment-id", "0")
            return {"project": project} if project != "0" else {}
        case _:
            return {}


def _text(value: object, texts: Body) -> str:
    """A value with the collector's variables filled in: External Secrets' templates as variables of the platform."""
    text = re.sub(r"\$\{env:(\w+)\}", lambda found: str(texts.get(found[1], found[0])), str(value))
    text = re.sub(r"\{\{\s*list ([^|}]*)\|[^}]*\}\}", lambda found: _listed(found[1]), text)
    return re.sub(r"\{\{\s*\.(\w+)\s*(?:\|[^}]*)?\}\}", r"${env:\1}", text)


def _listed(parts: str) -> str:
    """The parts of a template's `list`: texts in quotes, and variables."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"|\.(\w+)', parts)
    return "".join(f"${{env:{name}}}" if name else text for text, name in words)


# --- Knowledge --------------------------------------------------------------------------------------------------------


def _restore_base(tree: RenderedTree, base: Block, told: Told) -> None:
    """What the jobs of ingestion do for a base: its schedule, and whether it is ingested at the start."""
    name, to = str(base.get("name")), f"knowledge[{base.get('name')}]"
    for source in _several(base.get("sources")):
        if str(source.get("path", "")).startswith(_FOLDER):
            source["path"] = str(source["path"]).removeprefix(_FOLDER)
    jobs = [each for each in tree.of("Job", "CronJob", group="batch") if _ingests(each, name)]
    if any(each.kind == "Job" for each in jobs) and base.get("on_start") is False:
        del base["on_start"]
    for job in jobs:
        told.take(job)
        if job.kind == "Job":
            told.carried(job, (), f"{to}.on_start")
        elif at(job.body, "spec", "suspend") is not True:
            base["schedule"] = text_at(job.body, "spec", "schedule")
            told.carried(job, ("spec", "schedule"), f"{to}.schedule")


def _ingests(job: Manifest, base: str) -> bool:
    inner = ("spec", "jobTemplate") if job.kind == "CronJob" else ()
    containers = mappings_at(job.body, *inner, "spec", "template", "spec", "containers")
    return any(texts_at(each, "args")[:3] == ["knowledge", "ingest", base] for each in containers)


def _tell_texts(tree: RenderedTree, told: Told) -> None:
    """Texts that the platform names, as prompts: they lie in a ConfigMap, and belong beside the new file."""
    texts = tree.find("ConfigMap", "hanok-texts", HANOK)
    if texts is not None:
        told.take(texts)
        for key in mapping_at(texts.body, "data"):
            message = "a text that the platform names: write it into its file beside platform.yaml"
            told.changed(texts, ("data", key), message, "")


# --- Values -----------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """A copy that may be changed."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(each) for each in cast("list[Any]", value)]
    return value


def _several(value: Any) -> list[Block]:
    """One block stands for a list of one."""
    found = cast("list[Any]", value if isinstance(value, list) else [value])
    return [cast("Block", each) for each in found if isinstance(each, dict)]


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text, with the nearest key above it."""
    if isinstance(value, dict):
        for name, each in cast("dict[str, Any]", value).items():
            yield from _texts(each, name)
    elif isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _texts(each, key)
    elif isinstance(value, str):
        yield key, value
