"""Engine `script`: answers from a list of turns, so that what is built on a model can be tested without one."""

from __future__ import annotations

import asyncio
import json

import msgspec

from hanok.errors import EngineRefused, Refusal
from hanok.serving.engine import no_tasks
from hanok.serving.engines.script_turns import Script, name_call
from hanok.serving.engines.spoken import SpokenCall, count_words, speak
from hanok.spec import ScriptEndpoint, Timeouts, Turn
from hanok.wire import Answer, ChatRequest, TaskRequest, TaskResult, json_bytes


class ScriptEngine:
    """The first turn whose conditions hold, else the next turn without any, in a ring."""

    def __init__(self, spec: ScriptEndpoint, *, model: str, endpoint: str) -> None:
        self._script = Script(spec)
        self._delay_s = spec.delay_ms / 1000
        self._model = model
        self._endpoint = endpoint

    async def open(self, request: ChatRequest) -> Answer:
        turn = self._turn(request)
        if turn.delay_ms:
            await asyncio.sleep(turn.delay_ms / 1000)
        if turn.error is not None:
            raise _refusal(turn, turn.error, self._endpoint)
        calls = _calls(request, turn)
        text = _text(turn)
        return await speak(
            request, text, calls=calls, model=self._model, endpoint=self._endpoint, delay_s=self._delay_s
        )

    def _turn(self, request: ChatRequest) -> Turn:
        """Raises `EngineRefused`, as any engine would, for fields that the door leaves to engines."""
        try:
            return self._script.next(request) or Turn(say="")
        except msgspec.ValidationError as error:
            raise _refused(400, f"the request cannot be read: {error}", "invalid_value", self._endpoint) from None

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


def _text(turn: Turn) -> str | None:
    return json.dumps(turn.json_, ensure_ascii=False) if "json_" in turn.model_fields_set else turn.say


def _calls(request: ChatRequest, turn: Turn) -> list[SpokenCall]:
    return [
        SpokenCall(name_call(request, number), call.name, json.dumps(call.arguments, ensure_ascii=False))
        for number, call in enumerate(turn.call)
    ]


def _refusal(turn: Turn, status: int, endpoint: str) -> EngineRefused:
    return _refused(status, turn.say or f"the script answers with status {status}", "scripted", endpoint)


def _refused(status: int, message: str, code: str, endpoint: str) -> EngineRefused:
    kind = "scripted_error" if code == "scripted" else "invalid_request_error"
    body = json_bytes({"error": {"message": message, "type": kind, "param": None, "code": code}})
    return EngineRefused(f"{endpoint} answers with status {status}", refusal=Refusal(status=status, body=body))
