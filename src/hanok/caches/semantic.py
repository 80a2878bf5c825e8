"""Questions that were asked before in other words: the nearest by their vectors, if they are near enough.

Only what one question is, is compared: a single user message, the same system message or none, no tools, pictures,
several choices or forms of JSON; everything else that the body says must be the same to the letter (the *scope*).
Vectors come from a declared model of type embedding, asked over the outermost model path, so that whoever asks is
charged. Where that fails, nothing was found. Vectors are in memory, of as many questions as are declared.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from typing import Any

import msgspec

from hanok.caches.guards import Facts, differ, facts
from hanok.caches.keys import LARGE_BYTES, relevant, scope_key
from hanok.caches.rules import Rule
from hanok.errors import HanokError, StartError
from hanok.telemetry import Trace, hand_on, in_child_span
from hanok.wire import ChatRequest, ModelPath, TaskRequest

PATIENCE_S = 2.0
"""How long the embedder may take; then the model is asked."""
LONGEST = 1000
"""Characters of a question at most: what is longer than a passage has no one meaning."""
_ROLES = ("system", "developer")
_ALONE = ("tools", "functions", "logprobs", "modalities", "audio")


class Place(msgspec.Struct, frozen=True):
    """Where a question stands: its model, what else must be the same, its vector, and what must not differ in words."""

    model: str
    scope: bytes
    vector: Any
    facts: Facts


class Semantics:
    """The questions of all models that compare them. `models`, the outermost path, is set when there is one.

    `trace` continues a call's trace, so that the embedder's call has its own span.
    """

    def __init__(self) -> None:
        self.models: ModelPath | None = None
        self.trace: Trace = hand_on
        self._numpy: Any = None
        self._known: dict[str, _Known] = {}
        self._rules: Mapping[str, Rule] = {}

    def change(self, rules: Mapping[str, Rule]) -> None:
        """Go on by other rules: the questions of a model that goes on as it was are still known.

        Raises `StartError` when numpy is needed and not installed.
        """
        wanted = {name: rule for name, rule in rules.items() if rule.semantic is not None}
        if wanted and self._numpy is None:
            self._numpy = load_numpy()
        self._known = {
            name: known
            for name, known in self._known.items()
            if name in wanted and _compares_alike(self._rules[name], wanted[name])
        }
        self._rules = wanted

    def clear(self, model: str | None) -> None:
        """Forget the questions of a model, or of all."""
        if model is None:
            self._known.clear()
        else:
            self._known.pop(model, None)

    async def place(self, rule: Rule, request: ChatRequest) -> Place | None:
        """Where this question stands; None for one that is not compared, or when nobody could tell."""
        found = read_question(request)
        if found is None or rule.semantic is None or self.models is None:
            return None
        text, others = found
        asked = msgspec.structs.replace(
            TaskRequest.embed(rule.semantic.embedder, [text], encoding_format="float"),
            caller=in_child_span(request.caller, self.trace),
            options=request.options,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                result = await self.models.perform(asked)
            vector = self._numpy.asarray(result.vectors()[0], dtype="float32")
        except (HanokError, TimeoutError, msgspec.MsgspecError, LookupError, ValueError, TypeError):
            return None
        length = float(self._numpy.linalg.norm(vector))
        if not 0 < length < float("inf"):
            return None
        return Place(rule.model, scope_key(rule, request, others), vector / length, facts(text))

    def nearest(self, place: Place) -> bytes | None:
        """The key of the nearest question that is near enough, and differs in nothing that counts."""
        known, rule = self._known.get(place.model), self._rules.get(place.model)
        if known is None or rule is None or rule.semantic is None or known.width != len(place.vector):
            return None
        return known.nearest(place, rule.semantic.threshold)

    def note(self, place: Place, key: bytes) -> None:
        """Know the question from now on: its answer is kept under this key."""
        rule = self._rules.get(place.model)
        if rule is None or rule.semantic is None:
            return
        known = self._known.get(place.model)
        if known is None or known.width != len(place.vector):
            known = self._known[place.model] = _Known(self._numpy, rule.semantic.entries, len(place.vector))
        known.note(place, key)


class _Known:
    """One model's questions: a ring of vectors, and which of them are of each scope."""

    def __init__(self, numpy: Any, entries: int, width: int) -> None:
        self.width = width
        self._vectors = numpy.zeros((entries, width), dtype="float32")
        self._noted: list[tuple[bytes, bytes, Facts] | None] = [None] * entries
        self._rows: dict[bytes, list[int]] = {}
        self._next = 0

    def nearest(self, place: Place, threshold: float) -> bytes | None:
        rows = self._rows.get(place.scope)
        if not rows:
            return None
        near: list[float] = (self._vectors[rows] @ place.vector).tolist()
        for at in sorted(range(len(rows)), key=near.__getitem__, reverse=True):
            noted = self._noted[rows[at]]
            if near[at] < threshold or noted is None:
                return None
            if not differ(noted[2], place.facts):
                return noted[1]
        return None

    def note(self, place: Place, key: bytes) -> None:
        row = self._next
        self._next = (row + 1) % len(self._noted)
        self._forget(row)
        self._vectors[row] = place.vector
        self._noted[row] = (place.scope, key, place.facts)
        self._rows.setdefault(place.scope, []).append(row)

    def _forget(self, row: int) -> None:
        if (noted := self._noted[row]) is None:
            return
        rows = self._rows[noted[0]]
        rows.remove(row)
        if not rows:
            del self._rows[noted[0]]


def read_question(request: ChatRequest) -> tuple[str, dict[str, Any]] | None:
    """The one question of a request and everything else it says; None when it is not just a question."""
    if request.operation != "chat" or request.choices != 1 or any(name in request.fields for name in _ALONE):
        return None
    if sum(map(len, request.fields.values())) > LARGE_BYTES:
        return None
    try:
        fields = relevant(request.fields)
        messages: list[dict[str, Any]] = fields.pop("messages")
        *before, last = messages
        text = _text(last["content"])
        told = fields.get("response_format") or {"type": "text"}
        if told["type"] != "text" or last["role"] != "user" or text is None:
            return None
        if len(before) > 1 or any(message["role"] not in _ROLES for message in before):
            return None
        rest = {name: value for name, value in last.items() if name != "content"}
    except (msgspec.MsgspecError, LookupError, TypeError, ValueError):
        return None
    text = text.strip()
    return (text, {**fields, "messages": [*before, rest]}) if 0 < len(text) <= LONGEST else None


def _text(content: Any) -> str | None:
    """A message's text, alone or as its only part."""
    match content:
        case str() | [{"type": "text", "text": str()}]:
            return content if isinstance(content, str) else content[0]["text"]
        case _:
            return None


def load_numpy() -> Any:
    """Raises `StartError` when it is not installed."""
    try:
        return importlib.import_module("numpy")
    except ImportError as error:
        message = f"comparing questions (`cache.semantic`) needs numpy, which cannot be imported: {error}"
        raise StartError(message, hint='pip install "hanok[semantic]"') from error


def _compares_alike(old: Rule, new: Rule) -> bool:
    return (
        old.seed == new.seed
        and old.semantic is not None
        and new.semantic is not None
        and old.semantic.embedder == new.semantic.embedder
        and old.semantic.entries == new.semantic.entries
    )
