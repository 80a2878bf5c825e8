"""Which turn of a script comes next.

What was said so far decides, and a *course* of what the script has said: counted in this process, or (`ordered`) found
again from the assistant messages of each request, so that nothing is lost with the process.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from hanok.spec import ScriptEndpoint, Turn
from hanok.wire import ChatRequest
from hanok.wire.forms import read_last_user_text


class _Part(msgspec.Struct):
    text: str | None = None


class _Schema(msgspec.Struct, frozen=True):
    name: str = ""


class _Format(msgspec.Struct):
    json_schema: _Schema = _Schema()


class _Function(msgspec.Struct, frozen=True):
    name: str = ""


class _Call(msgspec.Struct):
    id: str = ""
    function: _Function = _Function()


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content)
        return self.content or ""


_decode = msgspec.json.Decoder(list[_Message]).decode
_decode_format = msgspec.json.Decoder(_Format | None).decode


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What was said last: a text of the user, or the results of tools, `(tool's name, text)` each.

    `system` is what the model is told, `schema` the name of the JSON Schema that its answer must fit.
    """

    text: str = ""
    results: tuple[tuple[str, str], ...] = ()
    system: str = ""
    schema: str = ""


@dataclass(kw_only=True)
class _Course:
    """What a script has said so far."""

    answers: int = 0
    place: int = 0
    taken: Counter[int] = field(default_factory=Counter[int])

    def note(self, turn: Turn | None) -> Turn | None:
        """Count what is answered, and give it back."""
        self.answers += turn is None or turn.error is None
        return turn


class Script:
    """The turns, and the way through them."""

    def __init__(self, spec: ScriptEndpoint) -> None:
        self._turns = spec.turns
        self._ring = [turn for turn in spec.turns if not turn.conditional for _ in range(turn.times or 1)]
        self._ordered = spec.ordered
        self._course = _Course()
        self._failed = Counter[int]()  # errors leave no message, so they are counted here in any case

    def next(self, request: ChatRequest) -> Turn | None:
        """The turn that answers this request; None where no condition holds and no turn is without one."""
        messages = _read(request)
        heard = _hear(messages, _schema(request)) if messages else Heard(text=read_last_user_text(request))
        course = self._find_course(messages) if self._ordered else self._course
        return self._take(course, heard, errors=True)

    def _find_course(self, messages: Sequence[_Message]) -> _Course:
        course = _Course()
        for at, message in enumerate(messages):
            if message.role == "assistant":
                self._take(course, _hear(messages[:at]), errors=False)
        return course

    def _take(self, course: _Course, heard: Heard, *, errors: bool) -> Turn | None:
        for number, turn in enumerate(self._turns):
            if turn.conditional and (errors or turn.error is None) and self._holds(number, course, heard):
                self._counted(turn, course)[number] += 1
                return course.note(turn)
        if not self._ring:
            return course.note(None)
        course.place += 1
        return course.note(self._ring[(course.place - 1) % len(self._ring)])

    def _holds(self, number: int, course: _Course, heard: Heard) -> bool:
        turn = self._turns[number]
        if turn.times is not None and self._counted(turn, course)[number] >= turn.times:
            return False
        return course.answers >= (turn.after or 0) and _is_about(turn, heard)

    def _counted(self, turn: Turn, course: _Course) -> Counter[int]:
        return course.taken if turn.error is None else self._failed


def _is_about(turn: Turn, heard: Heard) -> bool:
    if turn.schema_ not in (None, heard.schema) or (turn.system or "") not in heard.system:
        return False
    if turn.tool is not None:
        return any(name == turn.tool and (turn.when or "") in text for name, text in heard.results)
    return turn.when is None or turn.when in heard.text


def _read(request: ChatRequest) -> list[_Message]:
    return _decode(request.fields.get("messages", b"[]")) if request.operation == "chat" else []


def _schema(request: ChatRequest) -> str:
    form = _decode_format(request.fields.get("response_format", b"null"))
    return "" if form is None else form.json_schema.name


def _hear(messages: Sequence[_Message], schema: str = "") -> Heard:
    """The last message of the user, or the last results of tools, whichever came later; else the last message."""
    system = "\n".join(each.text for each in messages if each.role in ("system", "developer"))
    end = next((at for at in reversed(range(len(messages))) if messages[at].role in ("user", "tool")), None)
    if end is None or messages[end].role == "user":
        last = messages[-1 if end is None else end].text if messages else ""
        return Heard(text=last, system=system, schema=schema)
    results = _results(messages, end)
    text = "\n".join(text for _, text in results)
    return Heard(text=text, results=results, system=system, schema=schema)


def _results(messages: Sequence[_Message], end: int) -> tuple[tuple[str, str], ...]:
    """What tools gave back, side by side, up to the message at `end`; each with its tool's name."""
    begin = end
    while begin and messages[begin - 1].role == "tool":
        begin -= 1
    names = {call.id: call.function.name for message in messages for call in message.tool_calls or ()}
    said = messages[begin : end + 1]
    return tuple((each.name or names.get(each.tool_call_id or "", ""), each.text) for each in said)


def name_call(request: ChatRequest, number: int) -> str:
    """An id for a call that is the same whenever the same request is made again."""
    said = hashlib.sha256(bytes(request.fields.get("messages", b""))).hexdigest()
    return f"call_{said[:16]}_{number}"
