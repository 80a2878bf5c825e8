"""A run in A2A's words: its row as a task, its events as updates of that task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from hanok.agents.values import ENDED, Event, Message, Run, RunState

CONTEXT, MESSAGE = "context", "message"
"""What a run's metadata keep of the order: the context and the message as their sender named them."""
ANSWER = "answer"
"""The id of the artifact that is the answer."""
_STATES: Mapping[RunState, pb.TaskState] = {
    "queued": pb.TaskState.TASK_STATE_SUBMITTED,
    "running": pb.TaskState.TASK_STATE_WORKING,
    "waiting": pb.TaskState.TASK_STATE_INPUT_REQUIRED,
    "paused": pb.TaskState.TASK_STATE_WORKING,
    "done": pb.TaskState.TASK_STATE_COMPLETED,
    "failed": pb.TaskState.TASK_STATE_FAILED,
    "limited": pb.TaskState.TASK_STATE_FAILED,
    "cancelled": pb.TaskState.TASK_STATE_CANCELED,
}
REST: frozenset[RunState] = frozenset((*ENDED, "waiting", "paused"))
"""States in which nothing more happens to a run by itself."""
_PROGRESS = ("plan", "tool_call", "tool_result", "child", "custom")
_PRIVATE = frozenset(("content",))
"""What a tool gave back is the agent's to read."""
Update = pb.TaskStatusUpdateEvent | pb.TaskArtifactUpdateEvent


def states_of(state: pb.TaskState) -> list[RunState]:
    """The states of runs that are that state of tasks."""
    return [run for run, task in _STATES.items() if task == state]


def rests(run: Run) -> bool:
    """Whether nothing more happens to it by itself."""
    return run.state in REST


def context_of(run: Run) -> str:
    """The context's id: as its caller named it, else the thread's."""
    return str(run.metadata.get(CONTEXT) or run.thread)


def changed_at(run: Run) -> float:
    """When its state last changed, as far as its row tells (Unix seconds)."""
    return run.ended_at or run.started_at or run.created_at


def task_of(run: Run, *, text: str | None = None) -> pb.Task:
    """The task as it is now. `text` is what has come of its answer where there is none yet."""
    answer = text if run.answer is None else run.answer
    context = context_of(run)
    return pb.Task(
        id=run.id,
        context_id=context,
        status=_status(run.state, context, run.id, at=changed_at(run), message=_row_message(run, context)),
        artifacts=[_artifact(answer)] if answer else [],
        history=[_said(each, run, context, first=not at) for at, each in enumerate(run.input)],
        metadata=_struct({"hanok": _about(run)}),
    )


class Telling:
    """What a run's events say, one after the other; `seq` is the last that was told, `text` what its answer is so far.

    The text of each step of the agent replaces that of the step before: the last is the answer.
    """

    def __init__(self, run: Run) -> None:
        self.seq = 0
        self.text = ""
        self.state: RunState | None = None
        self._run = run.id
        self._context = context_of(run)
        self._step: object = None
        self._requests: list[Mapping[str, Any]] = []

    def tell(self, event: Event) -> list[Update]:
        """The updates that this event is."""
        self.seq = event.seq
        data = event.data
        match event.type:
            case "token" if data.get("text") and not data.get("reasoning"):
                return [self._add(data.get("step"), str(data["text"]))]
            case "message":
                return self._whole(data.get("step"), _text_of(data.get("message") or {}))
            case "run":
                return self._change(data.get("state") or "running", event.at)
            case "wanted":
                self._requests = list(data.get("requests") or ())
                return []
            case "done":
                return [*self._finish(data.get("answer")), *self._end(data, event.at)]
            case kind if kind in _PROGRESS:
                told = {name: value for name, value in data.items() if name not in _PRIVATE}
                message = self._message([data_part({**told, "type": kind})], event.seq)
                return [self._update("running", event.at, message)]
            case _:
                return []

    def tell_state(self, run: Run) -> list[Update]:
        """What the row says that the events have not."""
        if run.state == self.state:
            return []
        self.state = run.state
        artifacts = self._finish(run.answer) if run.state in ENDED else []
        return [*artifacts, self._update(run.state, changed_at(run), _row_message(run, self._context))]

    def _add(self, step: object, text: str) -> Update:
        append = step == self._step and bool(self.text)
        self.text = self.text + text if append else text
        self._step = step
        return self._artifact(text, append=append)

    def _whole(self, step: object, text: str) -> list[Update]:
        if not text or (step == self._step and text == self.text):
            return []
        self._step, self.text = step, text
        return [self._artifact(text, append=False)]

    def _finish(self, answer: object) -> list[Update]:
        if not isinstance(answer, str) or not answer:
            return []
        if answer == self.text:
            return [self._artifact("", append=True, last=True)]
        self.text = answer
        return [self._artifact(answer, append=False, last=True)]

    def _change(self, state: RunState, at: float) -> list[Update]:
        if state == self.state or state in ENDED:
            return []
        self.state = state
        message = self._message(_question(self._requests), self.seq) if state == "waiting" else None
        return [self._update(state, at, message)]

    def _end(self, data: Mapping[str, Any], at: float) -> list[Update]:
        state: RunState = data.get("state") or "done"
        why = data.get("error") or data.get("reason")
        self.state = state
        return [self._update(state, at, self._message([text_part(str(why))], self.seq) if why else None)]

    def _update(self, state: RunState, at: float, message: pb.Message | None) -> Update:
        status = _status(state, self._context, self._run, at=at, message=message)
        return pb.TaskStatusUpdateEvent(task_id=self._run, context_id=self._context, status=status)

    def _artifact(self, text: str, *, append: bool, last: bool = False) -> Update:
        return pb.TaskArtifactUpdateEvent(
            task_id=self._run, context_id=self._context, artifact=_artifact(text), append=append, last_chunk=last
        )

    def _message(self, parts: Sequence[pb.Part], number: int) -> pb.Message:
        return _agents(parts, self._run, self._context, f"{self._run}-{number}")


def text_part(text: str) -> pb.Part:
    """A text; what is no Unicode in it is replaced."""
    return pb.Part(text=text.encode("utf-8", "replace").decode())


def data_part(data: Any) -> pb.Part:
    """JSON."""
    return pb.Part(data=ParseDict(data, Value()), media_type="application/json")


def _status(state: RunState, context: str, task: str, *, at: float, message: pb.Message | None = None) -> pb.TaskStatus:
    stamp = Timestamp()
    stamp.FromMilliseconds(int(at * 1000))
    if message is None and state == "paused":
        message = _agents([text_part("paused")], task, context, f"{task}-paused")
    return pb.TaskStatus(state=_STATES[state], timestamp=stamp, message=message)


def _row_message(run: Run, context: str) -> pb.Message | None:
    """What the status says besides: what is asked, or why it ended so."""
    if run.state == "waiting":
        asked = [{"id": id_, **request} for id_, request in run.wanted.items() if id_ not in run.answers]
        return _agents(_question(asked), run.id, context, f"{run.id}-wanted")
    why = run.error or run.reason
    return _agents([text_part(why)], run.id, context, f"{run.id}-{run.state}") if run.ended and why else None


def _question(requests: Sequence[Mapping[str, Any]]) -> list[pb.Part]:
    """What a person is asked: in words, and as data."""
    asked = [_in_words(request) for request in requests]
    return [text_part("\n".join(asked) or "an answer is needed"), data_part({"requests": list(requests)})]


def _in_words(request: Mapping[str, Any]) -> str:
    if request.get("kind") == "approval":
        return f"May {request.get('tool')} be called with {request.get('arguments')}?"
    return str(request.get("question") or request.get("value") or "an answer is needed")


def _said(message: Message, run: Run, context: str, *, first: bool) -> pb.Message:
    named = run.metadata.get(MESSAGE) if first else None
    return pb.Message(
        message_id=str(named or message.get("id") or f"{run.id}-input"),
        context_id=context,
        task_id=run.id,
        role=pb.Role.ROLE_USER,
        parts=[text_part(_text_of(message))],
    )


def _agents(parts: Sequence[pb.Part], task: str, context: str, id_: str) -> pb.Message:
    return pb.Message(message_id=id_, context_id=context, task_id=task, role=pb.Role.ROLE_AGENT, parts=parts)


def _artifact(text: str) -> pb.Artifact:
    return pb.Artifact(artifact_id=ANSWER, name=ANSWER, parts=[text_part(text)])


def _text_of(message: Message) -> str:
    """What a message says in words."""
    content = message.get("content")
    if not isinstance(content, list):
        return str(content or "")
    pieces = cast("list[dict[str, Any]]", content)
    return "\n".join(str(piece.get("text") or f"[{piece.get('type')}]") for piece in pieces)


def _about(run: Run) -> dict[str, Any]:
    used = run.used
    return {
        "agent": run.agent,
        "state": run.state,
        **({"reason": run.reason} if run.reason else {}),
        "usage": {
            "steps": used.steps,
            "tool_calls": used.tool_calls,
            "prompt_tokens": used.prompt_tokens,
            "completion_tokens": used.completion_tokens,
            "usd": used.cost_nano_usd / 1e9,
        },
    }


def _struct(data: dict[str, Any]) -> Struct:
    return ParseDict(data, Struct())
