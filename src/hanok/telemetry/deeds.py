"""What an agent does that is no call of a model, as a span: its run, its use of a tool, a search for passages.

Such a deed is told when it is over, in the span that its `caller` is in, and encoded in the exporter's thread, as calls
are. Its names are those of OpenTelemetry's GenAI conventions, with what receivers read besides (docs/telemetry.md).

What a run has used goes out by names of our own: receivers add up what spans say of tokens and cost, and the calls
below a run have said it already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from hanok.telemetry.content import chat_messages, cut_text, first_of, spoken
from hanok.telemetry.frame import CLIENT, INTERNAL, failure, identity, nanoseconds, times
from hanok.telemetry.protobuf import Attribute, field, utf8, varint
from hanok.telemetry.vocabulary import KINDS, NameStyle, Vocabulary
from hanok.wire import Caller, json_bytes

Fact = Literal[
    "agent_name",
    "agent_id",
    "agent_description",
    "tool_name",
    "tool_type",
    "tool_call_id",
    "data_source",
    "top_k",
    "passages",
    "run_state",
    "run_attempt",
    "run_worked_s",
    "run_steps",
    "run_tool_calls",
    "run_input_tokens",
    "run_output_tokens",
    "run_usd",
]
"""What may be said of a deed, by its word in the vocabulary."""
_EVENT, _EVENT_ATTRIBUTES = 11, 3
_EVENT_TIME = b"\x09"


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened meanwhile. `at` is in Unix seconds."""

    name: str
    at: float
    about: Mapping[str, str] = {}


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, by its end. `began` and `ended` are Unix seconds; `error` is its kind, empty where none was.

    `given` and `told` are its content, and looked at only where content is recorded: messages and an answer's text of a
    run, arguments and a result's text of a tool, the text that was looked for and what was found of a search.
    """

    operation: Literal["invoke_agent", "execute_tool", "retrieval"]
    name: str
    caller: Caller
    began: float
    ended: float
    failed: bool = False
    error: str = ""
    facts: Mapping[Fact, str | int | float] = {}
    moments: Sequence[Moment] = ()
    given: Any = None
    told: Any = None


class DeedEncoder:
    """Turns deeds into spans, as the field that `SpanEncoder.envelope` wants."""

    def __init__(self, *, names: NameStyle, content: bool) -> None:
        self._words = Vocabulary(names)
        self._content = content
        self._event_words: dict[str, Attribute] = {}

    def encode(self, deed: Deed) -> bytes:
        """One span. Raises `ValueError` when `deed.caller.trace` is no `traceparent`."""
        start = nanoseconds(deed.began)
        parts = [
            identity(deed.caller, own_parent=deed.operation != "invoke_agent" or "/" in (deed.caller.run or "")),
            field(5, utf8(f"{deed.operation} {deed.name}")),
            CLIENT if deed.operation == "retrieval" else INTERNAL,
            times(start, max(start, nanoseconds(deed.ended))),
            *self._kind(deed.operation),
            *self._caller(deed.caller),
            *(self._fact(getattr(self._words, name), value) for name, value in deed.facts.items()),
            *map(self._event, deed.moments),
        ]
        if deed.error:
            parts.append(self._words.error.text(deed.error))
        if deed.failed:
            parts.append(failure(deed.error))
        if self._content:
            parts += self._said(deed)
        span = b"".join(parts)
        return b"\x12" + varint(len(span)) + span

    def _kind(self, operation: str) -> list[bytes]:
        words, kind = self._words, KINDS[operation]
        return [
            words.operation.text(kind.name),
            words.langfuse_type.text(kind.langfuse),
            words.langsmith_kind.text(kind.langsmith),
            words.mlflow_type.text(kind.mlflow),
            words.openinference_kind.text(kind.openinference),
        ]

    def _caller(self, caller: Caller) -> list[bytes]:
        words = self._words
        said = [
            (words.key, caller.key_name),
            (words.team, caller.team),
            (words.session, caller.session),
            (words.user, caller.user),
            (words.run, caller.run),
            (words.request_id, caller.request_id),
        ]
        return [word.text(value) for word, value in said if value]

    def _fact(self, word: Attribute, value: str | float) -> bytes:
        if isinstance(value, str):
            return word.text(value) if value else b""
        return word.whole(value) if isinstance(value, int) else word.number(value)

    def _event(self, moment: Moment) -> bytes:
        at = nanoseconds(moment.at).to_bytes(8, "little")
        about = b"".join(self._event_word(name).text(value) for name, value in moment.about.items())
        return field(_EVENT, _EVENT_TIME + at + field(2, utf8(moment.name)) + about)

    def _event_word(self, name: str) -> Attribute:
        found = self._event_words.get(name)
        if found is None:
            found = self._event_words[name] = Attribute(name, of=_EVENT_ATTRIBUTES)
        return found

    def _said(self, deed: Deed) -> list[bytes]:
        """What went in and what came out, as far as it is there."""
        words, given, told = self._words, deed.given, deed.told
        match deed.operation:
            case "invoke_agent":
                return [
                    words.input.utf8(chat_messages(given)) if given else b"",
                    words.output.utf8(spoken(told)) if told else b"",
                ]
            case "execute_tool":
                return [
                    words.tool_arguments.utf8(cut_text(json_bytes(given).decode())),
                    words.tool_result.utf8(cut_text(told or "")),
                ]
            case "retrieval":
                return [words.query.utf8(cut_text(given)), words.documents.utf8(first_of(told or ()))]
