"""Engine `echo`: answers with what the user said last. It needs nothing and is always up."""

from __future__ import annotations

from hanok.serving.engine import no_tasks
from hanok.serving.engines.spoken import count_words, speak
from hanok.spec import EchoEndpoint, Timeouts
from hanok.wire import Answer, ChatRequest, TaskRequest, TaskResult
from hanok.wire.forms import read_last_user_text


class EchoEngine:
    """Says the last user message again, word by word."""

    def __init__(self, spec: EchoEndpoint, *, model: str, endpoint: str) -> None:
        self._delay_s = spec.delay_ms / 1000
        self._model = model
        self._endpoint = endpoint

    async def open(self, request: ChatRequest) -> Answer:
        text = read_last_user_text(request)
        return await speak(request, text, model=self._model, endpoint=self._endpoint, delay_s=self._delay_s)

    async def perform(self, request: TaskRequest) -> TaskResult:
        no_tasks(request)

    async def check(self) -> None:
        return None

    async def count_prompt(self, request: ChatRequest) -> int | None:
        return count_words(request)

    async def metrics_page(self) -> bytes:
        return b""

    def adjust(self, *, timeouts: Timeouts, answer_limit_mib: float) -> None:
        """Knows no limits."""

    async def aclose(self) -> None:
        return None
