"""From a declared endpoint to an engine: the one place that knows every engine by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from hanok.errors import StartError
from hanok.serving.children.settings import EMBEDDED
from hanok.serving.client import Pool
from hanok.serving.engine import Engine
from hanok.serving.engines.openai import OpenAIEngine
from hanok.serving.fleet import Endpoint
from hanok.serving.launch import Launch, LaunchedEndpoint, need, plan_launch
from hanok.serving.profiles import GEMMA3_270M
from hanok.spec import Endpoint as EndpointSpec
from hanok.spec import (
    LiteLLMEndpoint,
    LlamaCppEndpoint,
    Loaded,
    Model,
    OpenAIEndpoint,
    SentenceEncoderEndpoint,
    Timeouts,
    VllmEndpoint,
)

IN_PROCESS = {
    "echo": "hanok.serving.engines.echo:EchoEngine",
    "script": "hanok.serving.engines.script:ScriptEngine",
    "litellm": "hanok.serving.engines.litellm:LiteLLMEngine",
}

_QUICK = Timeouts(connect_s=1.0, first_byte_s=2.0, idle_s=2.0)
PROMPT_SHARE = 3
"""Prompt tokens for each token of an answer, where two prices for them are to be one."""


def make_endpoint(
    loaded: Loaded, model: Model, index: int, *, number: int | None = None, ports: Mapping[str, int] | None = None
) -> tuple[Endpoint, Launch | None]:
    """The endpoint `model.serve[index]`, and how to start its process if it has one; `ports` of those that run.

    It is called `model#number`, by its place unless told otherwise. Raises `StartError` when something it needs is not
    there.
    """
    spec = model.serve[index]
    name = f"{model.name}#{index + 1 if number is None else number}"
    limit = loaded.platform.gateway.answer_limit_mib
    if isinstance(spec, OpenAIEndpoint):
        engine, launch = _reached(spec, model, name, limit, loaded.folder), None
    elif isinstance(spec, LlamaCppEndpoint | VllmEndpoint | SentenceEncoderEndpoint):
        launch = plan_launch(
            spec,
            name=name,
            model=model,
            folder=loaded.folder,
            state=loaded.state,
            port=ports.get(name) if ports else None,
        )
        engine = _launched(spec, launch, model, name, limit)
    else:
        engine, launch = _in_process(spec, model, name), None
    endpoint = Endpoint(name, model.name, spec.engine, engine)
    describe(endpoint, spec, model)
    return endpoint, launch


def describe(endpoint: Endpoint, spec: EndpointSpec, model: Model) -> None:
    """Note on the endpoint what is declared for finding one: what may change while it runs."""
    endpoint.max_in_flight = spec.max_in_flight
    endpoint.weight = spec.weight
    endpoint.tags = frozenset(spec.tags)
    endpoint.teams = frozenset(spec.teams)
    endpoint.role = spec.role
    price = spec.price or model.price
    endpoint.price = PROMPT_SHARE * price.input + price.output if price else 0.0


def _reached(spec: OpenAIEndpoint, model: Model, name: str, limit_mib: float, folder: Path) -> Engine:
    headers = {header.lower(): value.get_secret_value() for header, value in spec.headers.items()}
    if spec.key is not None:
        headers["authorization"] = f"Bearer {spec.key.get_secret_value()}"
    ca_file = str(folder / spec.ca_file) if spec.ca_file else None
    root_url = spec.url.rstrip("/").removesuffix("/v1")
    reach = partial(Pool, headers=headers, verify_tls=spec.verify_tls, ca_file=ca_file)
    try:
        pool = reach(spec.url, timeouts=model.timeouts)
        root = reach(root_url, timeouts=model.timeouts)
    except (ValueError, OSError) as error:
        what = f"ca_file {ca_file}: " if isinstance(error, OSError) else ""
        hint = "`ca_file` names a PEM file, relative to the platform file" if what else "correct its `url`"
        raise StartError(f"the endpoint {name} cannot be reached as declared: {what}{error}", hint=hint) from None
    return OpenAIEngine(
        pool,
        root=root,
        model=model.name,
        endpoint=name,
        served_name=spec.model or model.name,
        answer_limit_mib=limit_mib,
        metrics=partial(reach, root_url, timeouts=_QUICK),
    )


def _launched(spec: LaunchedEndpoint, launch: Launch, model: Model, name: str, limit_mib: float) -> Engine:
    stop = tuple(spec.stop) if isinstance(spec, LlamaCppEndpoint) else ()
    embedded = isinstance(spec, LlamaCppEndpoint) and spec.model == EMBEDDED and not spec.chat_template
    pool = Pool(f"{launch.url}/v1", timeouts=model.timeouts)
    return OpenAIEngine(
        pool,
        root=Pool(launch.url, timeouts=model.timeouts),
        model=model.name,
        endpoint=name,
        served_name=model.name,
        stop=stop,
        plain_stop=GEMMA3_270M.stop if embedded else (),
        trim_start=embedded,
        answer_limit_mib=limit_mib,
        metrics=partial(Pool, launch.url, timeouts=_QUICK),
    )


def _in_process(spec: EndpointSpec, model: Model, name: str) -> Engine:
    module, _, attribute = IN_PROCESS[spec.engine].partition(":")
    more: dict[str, Any] = {}
    if isinstance(spec, LiteLLMEndpoint):
        need("litellm", "engine litellm", "providers")
        more["timeouts"] = model.timeouts
    factory: Any = getattr(import_module(module), attribute)
    return factory(spec, model=model.name, endpoint=name, **more)
