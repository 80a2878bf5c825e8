"""What a graph has come to: read from its stream and its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from hanok.agents.values import Message, text_of

_INTERRUPT = "__interrupt__"


class Seen:
    """What a graph's stream tells of its state: all of it, where its output is the whole state. Then what it comes to
    need not be read again, unless it waits for somebody. `writes` says whether its nodes may write to the stream: only
    then does LangGraph look for that while they work."""

    def __init__(self, graph: Any, *, writes: bool) -> None:
        self._whole = graph.output_channels == graph.stream_channels_asis
        self.modes = [*(["custom"] if writes else []), *(["values"] if self._whole else [])]
        self.values: Mapping[str, Any] = {}
        self._interrupted = False

    def see(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self._interrupted = self._interrupted or _INTERRUPT in values

    @property
    def ends(self) -> bool:
        """Whether `values` are the state that the graph has ended with."""
        return self._whole and bool(self.values) and not self._interrupted


def requests_of(value: object) -> dict[str, dict[str, Any]] | None:
    """What a step of ours waits for; None when it is a user's own graph that interrupts."""
    told = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    requests = told.get("requests")
    return cast("dict[str, dict[str, Any]]", requests) if isinstance(requests, dict) else None


def answer_of(values: Mapping[str, Any]) -> str:
    """A graph's answer: `answer` in its state, else what its last message says."""
    answer = values.get("answer")
    if isinstance(answer, str) and answer:
        return answer
    messages: Sequence[Any] = values.get("messages") or ()
    if not messages:
        return ""
    last = messages[-1]
    return text_of(cast("Message", last)) if isinstance(last, dict) else str(getattr(last, "content", last))
