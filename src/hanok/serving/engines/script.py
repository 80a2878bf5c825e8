"""Engine `script`: answers from a list of turns, so that what is built on a model can be tested without one."""

from __future__ import annotations

from hanok.serving.engine import no_tasks
from hanok.serving.engines.spoken import count_words, speak
from hanok.spec import ScriptEndpoint, Timeouts
from hanok.wire import Answer, ChatRequest, TaskRequest, TaskResult
from hanok.wire.forms import read_last_user_text


class ScriptEngine:
    """The first turn whose `when` is in the last user message, else the next turn without `when`, in a ring."""

    def __init__(self, spec: ScriptEndpoint, *, model: str, endpoint: str) -> None:
        self._conditional = [turn for turn in spec.turns if turn.when is not None]
        self._plain = [turn for turn in spec.turns if turn.when is None]
        self._next = 0
        self._delay_s = spec.delay_ms / 1000
        self._model = model
        self._endpoint = endpoint

    async def open(self, request: ChatRequest) -> Answer:
        text = self._pick(read_last_user_text(request))
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

    def _pick(self, said: str) -> str:
        for turn in self._conditional:
            if turn.when is not None and turn.when in said:
                return turn.say
        if not self._plain:
            return ""
        turn = self._plain[self._next % len(self._plain)]
        self._next += 1
        return turn.say
