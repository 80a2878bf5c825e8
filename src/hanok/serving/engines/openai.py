"""Engine `openai`: any OpenAI-compatible URL. Hanok's own engine processes speak it too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec

from hanok.errors import EngineBroken, EngineRefused, Refusal
from hanok.serving.client import Pool, Response
from hanok.serving.engines.answers import RelayedAnswer, trim_first_space
from hanok.serving.engines.tokenizer import Tokenizer
from hanok.spec import Timeouts
from hanok.wire import Answer, Caller, ChatRequest, TaskRequest, TaskResult, Usage, WholeAnswer, json_bytes
from hanok.wire.forms import read_usage

_PATHS = {
    "chat": "/chat/completions",
    "text": "/completions",
    "embedding": "/embeddings",
    "rerank": "/rerank",
    "moderation": "/moderations",
}
_RETRY_HEADERS = ("retry-after", "retry-after-ms")
_REFUSAL_LIMIT_BYTES = 1024 * 1024
_METRICS_LIMIT_BYTES = 4 * 1024 * 1024
_MIB = 1024 * 1024
_FORMS = ("tools", "functions", "grammar", "json_schema")
"""Fields of a body that ask for an answer in a form; the last two are llama.cpp's own."""
_NOT_GIVEN = (b"null", b"[]", b'""')
_USAGE_ON = msgspec.Raw(b'{"include_usage":true}')


class OpenAIEngine:
    """One OpenAI-compatible endpoint.

    `served_name` is the model's name over there, `stop` texts are added to those of every request, `plain_stop` texts
    to those of requests for plain text (what has a form, as JSON, ends by its grammar), `health_path` is asked to see
    whether the endpoint is up, and `trim_start` takes away the space that a base model's answers begin with. `root`
    reaches the same server above its `/v1`, where servers have their tokenizers; `metrics` gives connections to where
    it shows its metrics.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        model: str,
        endpoint: str,
        served_name: str,
        stop: Sequence[str] = (),
        plain_stop: Sequence[str] = (),
        answer_limit_mib: float = 64.0,
        health_path: str = "/models",
        metrics: Callable[[], Pool] | None = None,
        trim_start: bool = False,
        root: Pool | None = None,
    ) -> None:
        self._pool = pool
        self._tokenizer = None if root is None else Tokenizer(root, endpoint=endpoint, served_name=served_name)
        self._model = model
        self._endpoint = endpoint
        self._served_name = msgspec.Raw(json_bytes(served_name))
        self._stop = list(stop)
        self._plain_stop = [*stop, *plain_stop]
        self._limit_bytes = int(answer_limit_mib * _MIB)
        self._health_path = health_path
        self._open_metrics = metrics
        self._metrics: Pool | None = None
        self._trim_start = trim_start
        # OpenAI itself takes only the newer name for its newer models, older servers only the older one.
        self._limit_field = "max_completion_tokens" if pool.origin.host == "api.openai.com" else "max_tokens"

    async def open(self, request: ChatRequest) -> Answer:
        body = json_bytes(self._fields(request))
        accept = "text/event-stream" if request.stream else "application/json"
        response = await self._post(_PATHS[request.operation], body, accept, request.caller)
        if request.stream:
            _expect(response, b"text/event-stream", self._endpoint)
            answer = RelayedAnswer(
                response,
                wants_usage=request.wants_usage,
                model=self._model,
                endpoint=self._endpoint,
                trim_start=self._trim_start,
            )
            await answer.begin()
            return answer
        data, usage = await self._whole(response)
        if self._trim_start:
            data = trim_first_space(data)
        return WholeAnswer(data, usage, model=self._model, endpoint=self._endpoint)

    async def perform(self, request: TaskRequest) -> TaskResult:
        body = json_bytes({**request.fields, "model": self._served_name})
        response = await self._post(_PATHS[request.operation], body, "application/json", request.caller)
        data, usage = await self._whole(response)
        return TaskResult(data, usage, self._model, self._endpoint)

    async def check(self) -> None:
        response = await self._pool.request("GET", self._health_path)
        await response.whole(16 * _MIB)
        if response.status >= 500:
            refusal = Refusal(status=response.status, body=b"")
            raise EngineRefused(f"{self._endpoint} answers its health check with {response.status}", refusal=refusal)

    def pieces(self) -> int:
        """How many pieces of answers have come, ever."""
        return self._pool.pieces()

    async def count_prompt(self, request: ChatRequest) -> int | None:
        return None if self._tokenizer is None else await self._tokenizer.count(request)

    async def metrics_page(self) -> bytes:
        if self._metrics is None and self._open_metrics is not None:
            self._metrics = self._open_metrics()
        if self._metrics is None:
            return b""
        response = await self._metrics.request("GET", "/metrics", accept="text/plain")
        page = await response.whole(_METRICS_LIMIT_BYTES)
        return page if response.status == 200 else b""

    def adjust(self, *, timeouts: Timeouts, answer_limit_mib: float) -> None:
        self._pool.adjust(timeouts)
        if self._tokenizer is not None:
            self._tokenizer.pool.adjust(timeouts)
        self._limit_bytes = int(answer_limit_mib * _MIB)

    async def aclose(self) -> None:
        self._pool.close()
        if self._tokenizer is not None:
            self._tokenizer.pool.close()
        if self._metrics is not None:
            self._metrics.close()

    def _fields(self, request: ChatRequest) -> Mapping[str, msgspec.Raw]:
        fields: dict[str, msgspec.Raw] = {**request.fields, "model": self._served_name}
        if request.stream:
            fields["stream"] = msgspec.Raw(b"true")
            fields["stream_options"] = _with_usage(request.fields.get("stream_options"))
        if request.cap_tokens is not None:
            fields[self._limit_field] = msgspec.Raw(b"%d" % request.cap_tokens)
        elif request.max_tokens is not None:
            fields.setdefault(self._limit_field, msgspec.Raw(b"%d" % request.max_tokens))
        fields.pop("n_predict", None)  # llama.cpp's own name for the limit, which would win over the one we count with
        if self._plain_stop and (stop := self._stop if _has_form(request.fields) else self._plain_stop):
            fields["stop"] = msgspec.Raw(json_bytes(_merged_stop(request.fields.get("stop"), stop)))
        return fields

    async def _post(self, path: str, body: bytes, accept: str, caller: Caller) -> Response:
        response = await self._pool.request("POST", path, body, accept=accept, caller=caller)
        if response.status != 200:
            raise await self._refusal(response)
        return response

    async def _refusal(self, response: Response) -> EngineRefused | EngineBroken:
        body = await response.whole(_REFUSAL_LIMIT_BYTES)
        if response.status < 400:
            return EngineBroken(f"{self._endpoint} answers with status {response.status}")
        headers = {name: value for name in _RETRY_HEADERS if (value := response.header(name))}
        refusal = Refusal(status=response.status, body=body, headers=headers)
        return EngineRefused(f"{self._endpoint} answers with status {response.status}", refusal=refusal)

    async def _whole(self, response: Response) -> tuple[bytes, Usage | None]:
        _expect(response, b"application/json", self._endpoint)
        data = await response.whole(self._limit_bytes)
        try:
            return data, read_usage(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise EngineBroken(f"{self._endpoint} answers with something that is not JSON: {error}") from None


def _expect(response: Response, content_type: bytes, endpoint: str) -> None:
    if not response.headers.get(b"content-type", b"").startswith(content_type):
        found = response.header("content-type") or "no content type"
        response.close()
        raise EngineBroken(f"{endpoint} answers with {found}, not with {content_type.decode()}")
    if response.headers.get(b"content-encoding", b"identity") != b"identity":
        response.close()
        raise EngineBroken(f"{endpoint} compresses its answers though it was asked not to")


def _with_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    if options is None:
        return _USAGE_ON
    given = msgspec.json.decode(options)
    return msgspec.Raw(json_bytes({**given, "include_usage": True})) if isinstance(given, dict) else _USAGE_ON


def _has_form(fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether the answer has to follow a grammar: what ends plain text, as an empty line, may stand within it."""
    if any(bytes(fields.get(name, b"null")) not in _NOT_GIVEN for name in _FORMS):
        return True
    form: Any = msgspec.json.decode(fields.get("response_format", b"null"))
    return isinstance(form, dict) and cast("dict[str, Any]", form).get("type", "text") != "text"


def _merged_stop(given: msgspec.Raw | None, added: list[str]) -> list[str]:
    value: Any = msgspec.json.decode(given) if given is not None else None
    own = [value] if isinstance(value, str) else cast("list[str]", value) if isinstance(value, list) else []
    return [*own, *(text for text in added if text not in own)]
