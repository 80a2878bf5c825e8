"""`model_list`: each deployment becomes an endpoint of Hanok, or a reason why it does not.

LiteLLM groups deployments by `model_name`; `groups` makes models of them. This file looks at one deployment alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from hanok.migration.names import Names, as_tag
from hanok.migration.providers import PLAIN, Served, key_variable, read_model
from hanok.migration.reasons import CALL_PARAMETERS, MODEL_INFO, PARAMS
from hanok.migration.secrets import STAND_IN, URL_STAND_IN, Variables, carry_text, sounds_secret, take_value
from hanok.migration.source import Block
from hanok.spec.checks import quoted

_TYPES = {
    "chat": "chat", "completion": "chat", "responses": "chat", "embedding": "embedding", "rerank": "rerank",
    "moderation": "moderation",
}  # fmt: skip
_PRICES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached_input": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
}
_BATCHES = {"input": "input_cost_per_token_batches", "output": "output_cost_per_token_batches"}
_TAGS = 16
_HIGHEST_PRICE = 1e300
_TIERS = {"simple": "SIMPLE", "moderate": "MEDIUM", "complex": "COMPLEX"}
_WILDCARD = "one name for many models: Hanok's models are declared one by one, so write out those that you use"


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One entry of `model_list`: its endpoint in platform.yaml's form, and what its model takes from it."""

    name: str
    type: str
    block: Block
    endpoint: dict[str, Any]
    order: int | None
    weight: float | None
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])
    """What LiteLLM keeps for a deployment and Hanok for a model, by LiteLLM's key."""
    price: Mapping[str, float] = field(default_factory=dict[str, float])
    budget_duration: str | None = None

    def leave_out(self, key: str, message: str) -> None:
        """It is no endpoint after all, because of a mistake at `key`."""
        self.block.sheet.take_back(self.block.place)
        self.block.wrong(key, message)

    @property
    def params(self) -> Block:
        return self.block.beneath(("litellm_params",), {})


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What the rest of the file says for every deployment, and the names of teams that they are for."""

    credentials: Mapping[str, Mapping[str, Any]]
    drop_params: bool | None
    by_tags: bool
    """Whether LiteLLM's router looks at tags."""
    teams: Names = field(default_factory=Names)


def read_deployments(root: Block, defaults: Defaults, variables: Variables) -> list[Deployment]:
    """Every deployment that can be carried over, in the order of the file."""
    if "model_list" not in root:
        root.wrong("model_list", "there is no model_list, so LiteLLM serves no model")
    read = (_read(block, defaults, variables) for block in root.take_blocks("model_list"))
    return list(_without_repeated([each for each in read if each is not None]))


def _without_repeated(deployments: list[Deployment]) -> Iterator[Deployment]:
    seen: list[tuple[str, dict[str, Any], Mapping[str, float]]] = []
    for each in deployments:
        mark = (each.name, each.endpoint, each.numbers)
        if mark in seen:
            each.leave_out("model_name", "says again what an earlier deployment says: one endpoint is enough")
        else:
            seen.append(mark)
            yield each


def _read(block: Block, defaults: Defaults, variables: Variables) -> Deployment | None:
    name = block.take_text("model_name")
    params, info = block.take_block("litellm_params"), block.take_block("model_info")
    team = info.take_text("team_id")
    name = _name_for_team(info, name, team)
    for each in (block, params, info):
        each.about = name
    block.leave_rest({})
    model = take_value(params, "model", variables)
    if problem := _refusal(name, model):
        if "*" in (name or "") or "*" in (model or ""):
            block.left("model_name", problem)
        else:
            block.wrong("litellm_params" if name else "model_name", problem)
        return None
    if (model or "").startswith("auto_router/"):
        _leave_auto(params, name)
        return None
    kind = _type(info)
    if kind is None or name is None or model is None:
        return None
    params = _with_credentials(params, defaults)
    numbers, price = _numbers(params), _price(params, info)
    order, weight = params.take_whole("order", least=0), params.take_number("weight")
    duration = params.take_text("budget_duration")
    tags = _tags(params) if defaults.by_tags else []
    endpoint = _endpoint(params, model, kind, defaults, variables)
    if endpoint is not None:
        endpoint |= ({"tags": tags} if tags else {}) | _teams(info, team, defaults.teams)
    params.leave_rest(PARAMS, known=(*CALL_PARAMETERS, "api_base", "api_key"))
    info.leave_rest(MODEL_INFO)
    if endpoint is None:
        block.sheet.take_back(block.place)
        return None
    return Deployment(
        name=name, type=kind, block=block, endpoint=endpoint, order=order, weight=weight, numbers=numbers,
        price=price, budget_duration=duration,
    )  # fmt: skip


def _name_for_team(info: Block, name: str | None, team: str | None) -> str | None:
    """The name that callers use: a team's deployment may have another one than its entry."""
    public = info.take_text("team_public_model_name") if team else None
    if not public or public == name:
        return name
    info.about = public
    info.carried("team_public_model_name", "models[].name")
    return public


def _leave_auto(params: Block, name: str | None) -> None:
    """An auto-router of LiteLLM's is a name whose model Hanok picks by `tiers`."""
    config = params.take_block("complexity_router_config").take_block("tiers")
    models = {each: config.take(key) for each, key in _TIERS.items()}
    shown = ", ".join(f"{each}: {model if isinstance(model, str) else '…'}" for each, model in models.items())
    params.left(
        "model", f"Hanok picks models by what a prompt asks with `tiers` (docs/tiers.md): {{name: {name}, {shown}}}"
    )


def _refusal(name: str | None, model: str | None) -> str | None:
    """Why this is no deployment of one model."""
    if not name:
        return "a deployment needs a model_name"
    if not model:
        return "a deployment needs litellm_params.model"
    if "*" in name:
        return f"{quoted(name)} is {_WILDCARD}"
    if "${env:" in model:
        return "which model it is must stand in the file: its provider decides the engine"
    return f"{quoted(model)} is {_WILDCARD}" if "*" in model else None


def _type(info: Block) -> str | None:
    mode = info.take_text("mode")
    if mode is None or mode in _TYPES:
        if mode == "responses":
            info.changed("mode", "Hanok asks it by chat completions, and answers /v1/responses itself")
        return _TYPES[mode or "chat"]
    info.left(
        "mode",
        f"Hanok serves text, vectors, rerankings and moderations, not {quoted(mode)}: this deployment is left out",
    )
    return None


def _with_credentials(params: Block, defaults: Defaults) -> Block:
    """The parameters with those of the credential they name, where they do not say it themselves."""
    name = params.take_text("litellm_credential_name")
    if name is None:
        return params
    values = defaults.credentials.get(name)
    if values is None:
        params.wrong("litellm_credential_name", f"no credential in credential_list is called {quoted(name)}")
        return params
    params.carried("litellm_credential_name", "models[].serve[]", "its values stand in the endpoint")
    own = {key: params.take(key) for key in params.keys}
    filled = params.beneath((), {**values, **own})
    filled.take("litellm_credential_name")
    return filled


def _numbers(params: Block) -> dict[str, float]:
    """Numbers of the deployment that Hanok keeps for the model."""
    found = {key: params.take_whole(key) for key in ("rpm", "tpm")}
    found |= {key: params.take_whole(key, least=0) for key in ("num_retries", "max_retries")}
    found |= {key: params.take_number(key, above=0) for key in ("timeout", "request_timeout", "stream_timeout")}
    found |= {key: params.take_number(key) for key in ("cooldown_time", "max_budget")}
    return {key: value for key, value in found.items() if value is not None}


def _price(params: Block, info: Block) -> dict[str, float]:
    """US dollars per million tokens; LiteLLM writes dollars per token, in either block."""
    price: dict[str, float] = {}
    for name, key in _PRICES.items():
        for block in (info, params):
            if (cost := block.take_number(key)) is not None:
                price[name] = min(float(f"{cost * 1e6:.10g}"), _HIGHEST_PRICE)
                block.carried(key, f"models[].price.{name}", f"{price[name]:g} dollars per million tokens")
    if (share := _batch_share(params, info, price)) is not None:
        price["batch"] = share
    return price


def _batch_share(params: Block, info: Block, price: Mapping[str, float]) -> float | None:
    """The share of the usual price that a line of a batch costs: the greater of that of prompts and that of answers."""
    shares: list[float] = []
    for name, key in _BATCHES.items():
        for block in (info, params):
            if (cost := block.take_number(key)) is None:
                continue
            if not price.get(name):
                block.left(key, f"Hanok has a share of the usual price, and there is no {_PRICES[name]}")
                continue
            shares.append(min(float(f"{cost * 1e6 / price[name]:.6g}"), 1.0))
            message = (
                f"the share {shares[-1]:g} of the usual price, one for prompts and answers. Hanok asks a batch's lines "
                "as calls: where the provider charges those in full, take price.batch out"
            )
            block.changed(key, message, "models[].price.batch")
    return max(shares, default=None)


def _tags(params: Block) -> list[str]:
    """The deployment's tags, as calls may ask for them."""
    tags: list[str] = []
    for index, written in enumerate(params.take_names("tags")):
        tag = as_tag(written)
        if not tag or (tag not in tags and len(tags) == _TAGS):
            params.left(("tags", index), f"an endpoint has {_TAGS} tags at most, of letters, digits and . _ -")
            continue
        if tag != written:
            message = f"{quoted(written)} is called {quoted(tag)}: Hanok's tags have letters, digits and . _ - only"
            params.changed(("tags", index), message, "models[].serve[].tags")
        else:
            params.carried(("tags", index), "models[].serve[].tags")
        tags += [tag] if tag not in tags else []
    return tags


def _teams(info: Block, team: str | None, names: Names) -> dict[str, Any]:
    """Whom the endpoint is kept for. LiteLLM's teams are in its database: here they are declared."""
    if not team:
        return {}
    name = names.of(team)
    message = f"only calls of the team {quoted(name)} go there. It is declared: hanok keys create NAME --team {name}"
    info.changed("team_id", message, "models[].serve[].teams")
    return {"teams": [name]}


def _endpoint(params: Block, model: str, kind: str, defaults: Defaults, variables: Variables) -> dict[str, Any] | None:
    if (said := take_value(params, "mock_response", variables)) is not None:
        return _mock(params, said, kind)
    has_url = "api_base" in params or "base_url" in params
    served = read_model(model, provider=params.take_text("custom_llm_provider"), has_url=has_url)
    if served.mistake:
        params.wrong("model", served.mistake)
    make = _plain_endpoint if served.provider in PLAIN else _library_endpoint
    endpoint = make(params, served, kind, defaults, variables)
    if endpoint is not None:
        if (limit := params.take_whole("max_parallel_requests")) is not None:
            endpoint["max_in_flight"] = limit
            params.carried("max_parallel_requests", "models[].serve[].max_in_flight")
        params.carried("model", "models[].serve[].model", f"engine {endpoint['engine']}")
    return endpoint


def _mock(params: Block, said: str, kind: str) -> dict[str, Any] | None:
    if kind != "chat":
        params.left("mock_response", f"Hanok scripts text only, not {quoted(kind)}: this deployment is left out")
        return None
    params.carried("mock_response", "models[].serve[].turns", "engine script")
    for key in ("api_base", "api_key", "base_url"):
        params.take(key)
    return {"engine": "script", "turns": [{"say": said}]}


def _plain_endpoint(
    params: Block, served: Served, _kind: str, defaults: Defaults, variables: Variables
) -> dict[str, Any] | None:
    plain = PLAIN[served.provider or ""]
    own = "api_base" in params or "base_url" in params
    url = _url(params, variables, suffix=plain.suffix)
    if own and url is None:
        return None  # not to the provider's usual address: what was meant for a server of one's own stays there
    if url is None and plain.url is not None:
        url = plain.url + plain.suffix
    elif url is None and plain.url_variable:
        url = variables.refer(plain.url_variable, URL_STAND_IN)
        params.changed("model", f"no api_base: LiteLLM reads {plain.url_variable}, and so does platform.yaml now")
    endpoint: dict[str, Any] = {"engine": "openai", "url": url, "model": served.model}
    if (key := _key(params, served, variables)) is not None:
        endpoint["key"] = key
    elif plain.key_variable and not own:
        endpoint["key"] = variables.refer(plain.key_variable)
        params.changed("model", f"no api_key: LiteLLM reads {plain.key_variable}, and so does platform.yaml now")
    endpoint |= _headers(params, variables) | _tls(params, variables)
    _leave_call_parameters(params)
    if defaults.drop_params or params.take_flag("drop_params"):
        params.changed(
            "model", "drop_params: Hanok passes a call's fields on to an OpenAI-compatible server as they are"
        )
    return endpoint


def _library_endpoint(
    params: Block, served: Served, _kind: str, defaults: Defaults, variables: Variables
) -> dict[str, Any] | None:
    model = f"{served.provider}/{served.model}" if served.provider else served.model
    if served.provider is None:
        params.changed("model", "Hanok knows no such provider, and hands the name to LiteLLM's library as it is")
    endpoint: dict[str, Any] = {"engine": "litellm", "model": model}
    if (key := _key(params, served, variables)) is not None:
        endpoint["key"] = key
    if "api_base" in params or "base_url" in params:
        if (url := _url(params, variables)) is None:
            return None
        endpoint["url"] = url
    if options := _options(params, served, defaults, variables):
        endpoint["options"] = options
    return endpoint


def _key(params: Block, served: Served, variables: Variables) -> str | None:
    key = take_value(params, "api_key", variables, secret_as=key_variable(served.provider))
    if key is not None:
        params.carried("api_key", "models[].serve[].key")
    return key


def _url(params: Block, variables: Variables, *, suffix: str = "") -> str | None:
    """The address in Hanok's form: with a scheme, without credentials or a query."""
    key = "api_base" if "api_base" in params else "base_url"
    url = take_value(params, key, variables, stand_in=URL_STAND_IN)
    if url is None:
        return None
    url = url.strip()
    if url.startswith("${env:") and url.endswith("}"):
        if suffix:
            params.changed(key, f"Hanok asks {suffix} below it, so the variable must not end in {suffix}")
        return url + suffix
    if "://" not in url:
        params.wrong(key, "an address begins with http:// or https://; http:// was put before it")
        url = f"http://{url}"
    url = _without_extras(params, key, url)
    if url is not None and suffix and not url.rstrip("/").endswith(suffix):
        params.changed(key, f"Hanok speaks OpenAI's protocol to it, which stands below {suffix}")
        url = url.rstrip("/") + suffix
    if url is not None:
        params.carried(key, "models[].serve[].url")
    return url


def _without_extras(params: Block, key: str, url: str) -> str | None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable, parts = False, urlsplit("")
    host = parts.netloc.rpartition("@")[2]
    plain = f"{parts.scheme}://{host}{parts.path}"
    if not usable or re.search(r"\s", plain):
        params.wrong(key, "is no address that a request could go to: left out")
        return None
    if plain != url:
        params.changed(key, "a name and password, a query or a fragment in an address have no place in Hanok's `url`")
    return plain


def _headers(params: Block, variables: Variables) -> dict[str, Any]:
    headers: dict[str, str] = {}
    for key in ("extra_headers", "headers"):
        block = params.take_block(key)
        for name in block.keys:
            secret_as = _variable_name(name) if sounds_secret(name) else None
            if (value := take_value(block, name, variables, secret_as=secret_as)) is not None:
                headers[name] = value
                block.carried(name, "models[].serve[].headers")
    if (organization := take_value(params, "organization", variables)) is not None:
        headers["OpenAI-Organization"] = organization
        params.carried("organization", "models[].serve[].headers")
    return {"headers": headers} if headers else {}


def _tls(params: Block, variables: Variables) -> dict[str, Any]:
    value = params.take("ssl_verify")
    if value is False or value in ("false", "False"):
        params.carried("ssl_verify", "models[].serve[].verify_tls")
        return {"verify_tls": False}
    if isinstance(value, str) and value not in ("true", "True"):
        params.carried("ssl_verify", "models[].serve[].ca_file", "relative to platform.yaml")
        file = carry_text(value, params, ("ssl_verify",), variables)
        return {} if file is None else {"ca_file": file}
    return {}


def _leave_call_parameters(params: Block) -> None:
    for key in params.keys:
        if key in CALL_PARAMETERS:
            params.take(key)
            params.left(key, "Hanok adds nothing to a call: let callers send it")


def _options(params: Block, served: Served, defaults: Defaults, variables: Variables) -> dict[str, Any]:
    """What else LiteLLM's own `acompletion` is to be given."""
    options: dict[str, Any] = {}
    for key in params.keys:
        if key in PARAMS or key == "max_parallel_requests":
            continue
        misspelt = key not in CALL_PARAMETERS and params.is_misspelt(key, ("api_base", "api_key"))
        value = params.take(key)
        if misspelt:
            continue
        kept = _kept(value, params, (key,), variables, _variable_name(key, served.provider))
        if kept is not None:
            options[key] = kept
            params.carried(key, "models[].serve[].options")
    if defaults.drop_params:
        options.setdefault("drop_params", True)
    return options


def _kept(value: Any, params: Block, at: tuple[str | int, ...], variables: Variables, secret_as: str) -> Any:
    """A value of any shape, with every text in it carried."""
    inner: Callable[[Any, str | int], Any] = lambda item, step: _kept(item, params, (*at, step), variables, secret_as)  # noqa: E731
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return {key: kept for key, item in pairs if (kept := inner(item, key)) is not None}
    if isinstance(value, list):
        items = enumerate(cast("list[Any]", value))
        return [kept for index, item in items if (kept := inner(item, index)) is not None]
    if not isinstance(value, str):
        return value if isinstance(value, bool | int | float) or value is None else str(value)
    secret = sounds_secret(str(next((step for step in reversed(at) if isinstance(step, str)), "")))
    return carry_text(value, params, at, variables, secret_as=secret_as if secret else None, stand_in=STAND_IN)


def _variable_name(key: str, provider: str | None = None) -> str:
    words = re.sub(r"[^A-Za-z0-9]+", "_", key).strip("_").upper() or "SECRET"
    if provider and not words.startswith(provider.upper()[:3]) and words in ("KEY", "TOKEN", "SECRET", "PASSWORD"):
        words = f"{provider.upper()}_{words}"
    return f"_{words}" if words[0].isdigit() else words
