"""Engine `litellm`: providers through LiteLLM's library (extra `providers`). The only file that knows it.

Its import takes seconds, so it happens in a thread, and only when such a model is declared.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from hanok.errors import EngineBroken, EngineError, EngineRefused, EngineTimeout, EngineUnreachable, Refusal, StartError
from hanok.serving.engines.spoken import SpokenAnswer
from hanok.spec import LiteLLMEndpoint, Timeouts
from hanok.wire import Answer, ChatRequest, Chunk, TaskRequest, TaskResult, WholeAnswer, json_bytes
from hanok.wire.forms import DONE, read_usage

# What callers may set. LiteLLM takes addresses, credentials and providers as arguments too, so everything else is left
# out: a caller must not be able to send our key to a place of his own.
_PASSED = frozenset(
    (
        "messages", "prompt", "input", "suffix", "max_tokens", "max_completion_tokens", "temperature", "top_p", "n",
        "stop", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "tools",
        "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "user", "encoding_format",
        "dimensions", "modalities", "query", "documents", "top_n", "return_documents", "service_tier",
        "prompt_cache_key", "prompt_cache_retention",
    )
)  # fmt: skip


class LiteLLMEngine:
    """One provider's model, asked through `litellm.acompletion` and its sisters."""

    def __init__(self, spec: LiteLLMEndpoint, *, model: str, endpoint: str, timeouts: Timeouts) -> None:
        self._model = model
        self._endpoint = endpoint
        self._timeouts = timeouts
        self._arguments: dict[str, Any] = {**spec.options, "model": spec.model}
        if spec.key is not None:
            self._arguments["api_key"] = spec.key.get_secret_value()
        if spec.url is not None:
            self._arguments["api_base"] = spec.url
        self._library: Any = None

    async def check(self) -> None:
        if self._library is None:
            self._library = await asyncio.to_thread(import_litellm)

    async def open(self, request: ChatRequest) -> Answer:
        library = self._loaded()
        call = library.acompletion if request.operation == "chat" else library.atext_completion
        arguments = self._call_arguments(request.fields)
        if request.cap_tokens is not None:
            arguments["max_tokens"] = request.cap_tokens
        if request.stream:
            arguments |= {"stream": True, "stream_options": {"include_usage": True}}
        answer = await self._call(call, arguments)
        if request.stream:
            relayed = self._relay(answer, request.wants_usage)
            first = await relayed.__anext__()  # what fails before this may be asked for elsewhere
            return SpokenAnswer(_with_first(first, relayed), self._model, self._endpoint)
        data = _dump(answer)
        return WholeAnswer(data, read_usage(data), model=self._model, endpoint=self._endpoint)

    async def perform(self, request: TaskRequest) -> TaskResult:
        library = self._loaded()
        calls = {"embedding": library.aembedding, "rerank": library.arerank, "moderation": library.amoderation}
        data = _dump(await self._call(calls[request.operation], self._call_arguments(request.fields)))
        return TaskResult(data, read_usage(data), self._model, self._endpoint)

    async def count_prompt(self, request: ChatRequest) -> int | None:  # noqa: ARG002 - its counts are guesses
        return None

    async def metrics_page(self) -> bytes:
        return b""

    def adjust(self, *, timeouts: Timeouts, answer_limit_mib: float) -> None:  # noqa: ARG002 - the library has no limit
        self._timeouts = timeouts

    async def aclose(self) -> None:
        if self._library is not None:
            await self._library.close_litellm_async_clients()

    def _call_arguments(self, fields: Any) -> dict[str, Any]:
        asked = {name: msgspec.json.decode(raw) for name, raw in fields.items() if name in _PASSED}
        return {**asked, **self._arguments, "num_retries": 0, "timeout": self._timeouts.first_byte_s}

    def _loaded(self) -> Any:
        if self._library is None:
            raise EngineUnreachable(f"{self._endpoint} is still importing LiteLLM")
        return self._library

    async def _call(self, call: Any, arguments: dict[str, Any]) -> Any:
        try:
            return await call(**arguments)
        except Exception as error:
            raise _as_engine_error(error, self._endpoint) from error

    async def _relay(self, parts: Any, wants_usage: bool) -> AsyncGenerator[Chunk]:
        try:
            async for part in parts:
                event: dict[str, Any] = part.model_dump(mode="json", exclude_none=True)
                usage = read_usage(json_bytes(event))
                if not wants_usage:
                    event.pop("usage", None)
                yield Chunk(b"data: " + json_bytes(event) + b"\n\n", 1, usage)
        except Exception as error:
            raise _as_engine_error(error, self._endpoint) from error
        finally:
            with contextlib.suppress(Exception):  # a provider that is told to stop may complain
                await parts.aclose()
        yield Chunk(DONE, 0, None, True)


async def _with_first(first: Chunk, rest: AsyncGenerator[Chunk]) -> AsyncGenerator[Chunk]:
    try:
        yield first
        async for chunk in rest:
            yield chunk
    finally:
        await rest.aclose()


def import_litellm() -> Any:
    """Import LiteLLM without letting it fetch its price map. Raises `StartError` when it is not installed."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        library: Any = importlib.import_module("litellm")
    except ImportError as error:
        raise StartError(
            f"engine litellm cannot be imported: {error}", hint='pip install "hanok[providers]"'
        ) from error
    library.suppress_debug_info = True
    library.telemetry = False
    return library


def _dump(model: Any) -> bytes:
    return json_bytes(model.model_dump(mode="json", exclude_none=True))


def _as_engine_error(error: Exception, endpoint: str) -> EngineError:
    if isinstance(error, EngineError):
        return error
    status = getattr(error, "status_code", None)
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, TimeoutError) or status == 408:
        return EngineTimeout(f"{endpoint} timed out: {text}")
    if isinstance(status, int) and 400 <= status < 600:
        body = json_bytes({"error": {"message": text, "type": type(error).__name__, "param": None, "code": None}})
        return EngineRefused(f"{endpoint} answers with status {status}", refusal=Refusal(status=status, body=body))
    return EngineBroken(f"{endpoint}: {type(error).__name__}: {text}")
