"""What a failure means: for the model (which fallbacks may help) and for the endpoint (whether it counts against it).

Engines say that a prompt is too long, or is refused by a filter, with status 400 and words of their own. The words
looked for are those of OpenAI and Azure OpenAI, vLLM, SGLang, llama.cpp, Text Generation Inference, Anthropic, Gemini,
Bedrock, Mistral, xAI and LiteLLM's exceptions.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import msgspec

from hanok.errors import EngineBroken, EngineError, EngineRefused, EngineTimeout, EngineUnreachable
from hanok.spec import Fallbacks

Kind = Literal["error", "context_window", "content_policy", "budget"]
"""Why another model is wanted: the lists of `fallbacks` in platform.yaml."""

_MISTAKES = frozenset({400, 403, 413, 422})
_READ_BYTES = 64 * 1024
_TOO_LONG_CODES = frozenset(
    {
        "context_length_exceeded",
        "context_window_exceeded",
        "model_context_window_exceeded",
        "exceed_context_size_error",
        "contextwindowexceedederror",
    }
)
_TOO_LONG_WORDS = (
    "maximum context length",  # OpenAI, vLLM, SGLang, Mistral
    "model's context length",  # SGLang, Together
    "maximum model length",  # vLLM
    "cannot be greater than max_model_len",  # vLLM
    "available context size",  # llama.cpp
    "prompt is too long",  # Anthropic
    "exceed context limit",  # Anthropic
    "exceeds the context window",  # OpenAI's Responses
    "input is too long for requested model",  # Bedrock
    "maximum number of tokens allowed",  # Gemini
    "maximum prompt length is",  # xAI
    "tokens + `max_new_tokens` must be",  # Text Generation Inference
    "maximum allowed length",  # SGLang
)
_FILTERED_CODES = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "responsibleaipolicyviolation",
        "contentpolicyviolationerror",
        "moderation_blocked",
        "data_inspection_failed",
    }
)
_FILTERED_WORDS = (
    "content management policy",  # Azure OpenAI
    "flagged as potentially violating",  # OpenAI
    "blocked by content filtering policy",  # Anthropic
    "rejected as a result of our safety system",  # OpenAI
)


def kind_of(error: EngineError) -> Kind | None:
    """Which fallbacks may help after this failure; None when the caller is at fault and no other model would help."""
    if isinstance(error, EngineRefused) and error.refusal.status in _MISTAKES:
        codes, message = _said(error.refusal.body)
        if not _TOO_LONG_CODES.isdisjoint(codes) or any(words in message for words in _TOO_LONG_WORDS):
            return "context_window"
        if not _FILTERED_CODES.isdisjoint(codes) or any(words in message for words in _FILTERED_WORDS):
            return "content_policy"
    return "error" if error.retryable else None


def fallbacks_for(fallbacks: Fallbacks, kind: Kind) -> tuple[str, ...]:
    """The models to try, in order, when a call of that kind cannot be served."""
    return tuple(cast("list[str]", getattr(fallbacks, kind)))


def is_endpoints_fault(error: EngineError) -> bool:
    """Whether the failure counts against the endpoint: it is away, silent, broken, or answers 5xx."""
    if isinstance(error, EngineRefused):
        return error.refusal.status >= 500
    return isinstance(error, EngineUnreachable | EngineTimeout | EngineBroken)


def _said(body: bytes) -> tuple[set[str], str]:
    """The codes and the message of an error body, in lower case: `error.code`, `error.type`, an inner error's code."""
    try:
        said: Any = msgspec.json.decode(body[:_READ_BYTES])
    except msgspec.DecodeError:
        return set(), body[:_READ_BYTES].decode("utf-8", "replace").lower()
    fields = _dict(_dict(said).get("error")) or _dict(said)
    inner = _dict(fields.get("innererror")) or _dict(fields.get("inner_error"))
    codes = {str(code).lower() for code in (fields.get("code"), fields.get("type"), inner.get("code")) if code}
    error = _dict(said).get("error")
    message = fields.get("message") or fields.get("detail") or (error if isinstance(error, str) else "")
    return codes, str(message).lower()


def _dict(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
