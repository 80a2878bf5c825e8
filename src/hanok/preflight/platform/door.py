"""What a platform file says of its door: secrets that stand in it, and settings of a laptop on a server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from pydantic import SecretStr

from hanok.preflight.case import Case
from hanok.preflight.declared import Declared
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Step, at, mapping_at
from hanok.spec.tree import Tree

PLAIN_SECRET = Rule(
    "HK710",
    "warning",
    "a secret in the platform file",
    "write `${env:NAME}`, and give the variable by a Secret; then change the key, as it has been seen",
)
OF_A_LAPTOP = Rule(
    "HK711",
    "info",
    "an engine for a laptop",
    "where it is deployed, serve the model by vLLM: `serve: {engine: openai, url: http://…/v1}`",
)
ONE_WORKER = Rule(
    "HK712",
    "info",
    "a door with one worker",
    "`gateway: {workers: N}`, about one for each processor, or several replicas; both need `ledger.redis` for budgets",
)
TO_ITSELF = Rule(
    "HK713",
    "info",
    "spans that go nowhere",
    "name the collector by its address in the cluster, as `http://otel-collector.observability:4318`",
)
_LAPTOP = ("llamacpp", "echo", "script", "sentence-encoder")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_TOKEN = re.compile(r"^(Bearer |Basic )?(sk-|sk_|hf_|ghp_|gho_|xox[bap]-|AKIA|AIza|lsv2_|eyJ)\S{8,}$")
_LONG = re.compile(r"^(?=\S*\d)(?=\S*[A-Za-z])\S{20,}$")
_LOGIN = re.compile(r"^[a-z]+://[^/@\s]*:[^/@\s]+@([^/:?\s]+)")


def check_secrets(case: Case) -> Iterator[Finding]:
    for declared in case.platforms:
        if declared.loaded is None:
            continue
        for path in _secret_places(declared.loaded.platform, ()):
            written = _written(declared, path)
            if isinstance(written, str) and _is_secret(written):
                message = f"{path[-1]} stands in the file for everybody who reads it"
                yield PLAIN_SECRET.on(declared.manifest, *path, message=message)


def _secret_places(value: object, path: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    if isinstance(value, SecretStr):
        yield path
    elif isinstance(value, Tree):
        for name in type(value).model_fields:
            yield from _secret_places(getattr(value, name), (*path, name))
    elif isinstance(value, dict):
        for name, each in cast("Mapping[str, object]", value).items():
            named = isinstance(each, str) and re.search(r"key|secret|token|password", name, re.IGNORECASE)
            yield from [(*path, name)] if named else _secret_places(each, (*path, name))
    elif isinstance(value, list):
        for index, each in enumerate(cast("list[object]", value)):
            yield from _secret_places(each, (*path, index))


def _written(declared: Declared, path: tuple[Step, ...]) -> Any:
    """What stands in the file at a place of the tree; one block may stand for a list of one."""
    value: Any = declared.manifest.body
    for step in path:
        alone = step == 0 and bool(mapping_at(value))
        value = value if alone else at(value, step)
    return value


def _is_secret(text: str) -> bool:
    """Whether a text is a secret by its look; `dummy`, `none` and logins on this very machine are none."""
    if "${env:" in text:
        return False
    login = _LOGIN.match(text)
    if login or "://" in text:
        return bool(login) and login[1] not in _LOOPBACK if login else False
    return bool(_TOKEN.match(text) or _LONG.match(text))


def check_engines(case: Case) -> Iterator[Finding]:
    for declared in _deployed(case):
        assert declared.loaded is not None
        for index, model in enumerate(declared.loaded.platform.models):
            for position, endpoint in enumerate(model.serve):
                if endpoint.engine in _LAPTOP:
                    message = f"{model.name} is served by {endpoint.engine}, in a file that is meant for servers"
                    path = ("models", index, "serve", position, "engine")
                    yield OF_A_LAPTOP.on(declared.manifest, *path, message=message)


def check_workers(case: Case) -> Iterator[Finding]:
    for declared in _deployed(case):
        assert declared.loaded is not None
        gateway = declared.loaded.platform.gateway
        if gateway.workers == 1 and gateway.host not in _LOOPBACK:
            yield ONE_WORKER.on(
                declared.manifest, "gateway", message=f"one process answers all calls at {gateway.host}"
            )


def check_telemetry(case: Case) -> Iterator[Finding]:
    for declared in case.platforms:
        platform = declared.loaded.platform if declared.loaded else None
        if platform is None or platform.gateway.host in _LOOPBACK:
            continue
        for index, each in enumerate(platform.telemetry.export):
            if urlsplit(each.url).hostname in _LOOPBACK:
                message = f"spans go to {each.url}: in a pod that is the pod itself"
                yield TO_ITSELF.on(declared.manifest, "telemetry", "export", index, "url", message=message)


def _deployed(case: Case) -> Iterator[Declared]:
    """Files that are meant for servers: a door that others reach, or models that need GPUs."""
    planned = {id(each.declared) for each in case.planned}
    for declared in case.platforms:
        if declared.loaded and (declared.loaded.platform.gateway.host not in _LOOPBACK or id(declared) in planned):
            yield declared


CHECKS = (check_secrets, check_engines, check_workers, check_telemetry)
