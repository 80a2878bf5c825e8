"""Requests out: a model's config.json from a Hugging Face hub. Planning can do without; it saves a download."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

from hanok.errors import PlanError
from hanok.gpu.load import CONFIG, CONFIG_LIMIT_BYTES, QUANTIZATION, FetchedConfig, read_config

HUB = "https://huggingface.co"
_NO_CONFIG = "save its config.json in a folder and name the folder"


def fetch_config(model: str, *, hub: str = HUB, token: str | None = None, timeout_s: float = 10.0) -> FetchedConfig:
    """The config.json of a model of the hub, and its hf_quant_config.json if it has one.

    Raises `PlanError` where there is none, it is gated, or the hub cannot be reached.
    """
    config = _get(model, CONFIG, hub, token, timeout_s)
    if config is None:
        raise PlanError(f"{hub} has no {CONFIG} of {model!r}", hint="is its name right? " + _NO_CONFIG)
    quantization = None if "quantization_config" in config else _get(model, QUANTIZATION, hub, token, timeout_s)
    return FetchedConfig(config=config, quantization=quantization)


class _KeepsToken(urllib.request.HTTPRedirectHandler):
    """Follows redirects, and shows the token to nobody but the hub."""

    def redirect_request(self, req: urllib.request.Request, *args: Any, **kwargs: Any) -> urllib.request.Request | None:
        followed = super().redirect_request(req, *args, **kwargs)
        if followed is not None and urlsplit(followed.full_url)[:2] != urlsplit(req.full_url)[:2]:
            followed.remove_header("Authorization")
        return followed


def _get(model: str, file: str, hub: str, token: str | None, timeout_s: float) -> dict[str, object] | None:
    url = f"{hub.rstrip('/')}/{quote(model)}/resolve/main/{file}"
    if not url.startswith(("http://", "https://")):
        raise PlanError(f"{hub!r} is no address of a hub", hint=f"as `{HUB}`, or `none`")
    headers = {"user-agent": "hanok"} | ({"authorization": f"Bearer {token}"} if token else {})
    try:
        opener = urllib.request.build_opener(_KeepsToken)
        with opener.open(urllib.request.Request(url, headers=headers), timeout=timeout_s) as answer:  # noqa: S310
            data = answer.read(CONFIG_LIMIT_BYTES + 1)
            if answer.length and len(data) <= CONFIG_LIMIT_BYTES:
                raise ConnectionError("the answer was cut short")
            return dict(read_config(data, url))
    except urllib.error.HTTPError as error:
        with error:
            return _refused(model, error.code, hub)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise PlanError(f"{model!r} is not built in, and {hub} cannot be reached: {reason}", hint=_NO_CONFIG) from None


def _refused(model: str, status: int, hub: str) -> None:
    """Nothing, where there is no such file. Raises `PlanError` else."""
    if status == HTTPStatus.NOT_FOUND:
        return
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        hint = f"set HF_TOKEN to a token that may read it, or {_NO_CONFIG}"
        raise PlanError(f"{hub} does not show {model!r}: it is gated, private, or not there ({status})", hint=hint)
    raise PlanError(f"{hub} answered {status} for {model!r}", hint=_NO_CONFIG)
