"""Finds the tier of a request for one declared name: by the rules, by examples, or by asking a small model.

Whatever goes wrong with a classifier, or takes too long, the rules decide: a request never waits for its tier longer
than `timeout_s`, and never fails for it. A classifier's own calls go down the same path as any call, in the name of
whoever asks, so they are admitted, charged and traced.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

import msgspec

from hanok.errors import EngineBroken, EngineError, RequestError
from hanok.routing.tier_examples import BUILT_IN
from hanok.routing.tiers import (
    TIERS,
    WORD_TOKENS,
    Asked,
    Example,
    Rules,
    Verdict,
    excerpt,
    judge_by_examples,
    judge_by_word,
    make_examples,
    question,
    read_asked,
)
from hanok.spec import Auto, TierName
from hanok.telemetry import Trace, hand_on, in_child_span
from hanok.wire import Caller, ChatRequest, ModelPath, TaskRequest
from hanok.wire.forms import read_whole_text

REMEMBERED = 4096
"""Texts whose tier is remembered, by their digests."""
TEXTS_AT_ONCE = 32
LEARN_LIMIT_S = 120.0
"""How long the embedding model may take for so many texts."""
HOUSE = Caller(key_id="", key_name="hanok")
"""Who asks for the examples' vectors: the house itself."""
Failed = Callable[[str, str], None]
"""Is told of a classifier that failed: whose name was asked for, and what went wrong, as a code."""
_log = logging.getLogger(__name__)


class Sorter:
    """Sorts the requests for `auto`. `trace` continues a call's trace, so that a classifier's call has its own span."""

    def __init__(self, auto: Auto, path: ModelPath, *, trace: Trace = hand_on, failed: Failed | None = None) -> None:
        self.auto = auto
        self.trace = trace
        self._path = path
        self._failed = failed
        self._rules = Rules.of(auto.rules)
        self._texts = example_texts(auto)
        self._examples: tuple[Example, ...] = ()
        self._decided: OrderedDict[bytes, Verdict] = OrderedDict()

    @property
    def is_ready(self) -> bool:
        """Whether it has the vectors it needs."""
        return self.auto.classifier != "examples" or bool(self._examples)

    async def learn(self) -> None:
        """Have the examples' vectors made. Raises what the embedding model raises, `TimeoutError`, `ValueError`."""
        texts = [text for tier in TIERS for text in self._texts[tier]]
        vectors: list[list[float]] = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            async with asyncio.timeout(LEARN_LIMIT_S):
                vectors += await self._vectors(texts[start : start + TEXTS_AT_ONCE], HOUSE)
        self._examples = make_examples(self._texts, vectors)

    async def judge(self, request: ChatRequest) -> Verdict:
        """The request's tier, and why."""
        asked = read_asked(request)
        if self.auto.classifier == "rules" or not asked.text:
            return self._rules.judge(asked)
        if (declared := self._rules.find_cue(asked)) is not None:
            return declared
        digest = blake2b(excerpt(asked.text).encode("utf-8", "replace"), digest_size=16).digest()
        verdict = self._decided.get(digest)
        if verdict is None:
            verdict = await self._classify(asked, request)
            if verdict is None:
                return self._rules.judge(asked)
            self._remember(digest, verdict)
        return self._rules.raise_by_form(verdict, asked)

    async def _classify(self, asked: Asked, request: ChatRequest) -> Verdict | None:
        """What the classifier says; None when it cannot say."""
        try:
            async with asyncio.timeout(self.auto.timeout_s):
                if self.auto.classifier == "examples":
                    return await self._compare(asked, request)
                return await self._ask(asked, request)
        except Exception as error:  # noqa: BLE001 - whatever a classifier does, the call goes on
            _log.debug("the classifier of %s failed: %s", self.auto.name, error)
            if self._failed is not None:
                self._failed(self.auto.name, _code(error))
            return None

    async def _compare(self, asked: Asked, request: ChatRequest) -> Verdict:
        if not self._examples:
            raise RequestError("the examples have no vectors yet", code="not_ready")
        vectors = await self._vectors([excerpt(asked.text)], in_child_span(request.caller, self.trace), request)
        return judge_by_examples(vectors[0], self._examples)

    async def _ask(self, asked: Asked, request: ChatRequest) -> Verdict:
        asking = ChatRequest.ask(self._model, question(asked.text), max_tokens=WORD_TOKENS, temperature=0)
        caller = in_child_span(request.caller, self.trace)
        answer = await self._path.open(msgspec.structs.replace(asking, caller=caller, options=request.options))
        try:
            said = read_whole_text((await answer.__anext__()).data)
        finally:
            await answer.aclose()
        verdict = judge_by_word(said)
        if verdict is None:
            raise EngineBroken(f"{self._model} answered {said[:40]!r} instead of a tier")
        return verdict

    async def _vectors(
        self, texts: Sequence[str], caller: Caller, request: ChatRequest | None = None
    ) -> list[list[float]]:
        asking = msgspec.structs.replace(TaskRequest.embed(self._model, list(texts)), caller=caller)
        if request is not None:
            asking = msgspec.structs.replace(asking, options=request.options)
        return (await self._path.perform(asking)).vectors()

    @property
    def _model(self) -> str:
        return self.auto.classifier_model or ""

    def _remember(self, digest: bytes, verdict: Verdict) -> None:
        self._decided[digest] = verdict
        if len(self._decided) > REMEMBERED:
            self._decided.popitem(last=False)


def example_texts(auto: Auto) -> Mapping[TierName, Sequence[str]]:
    """The built-in examples and the declared ones."""
    own = auto.examples
    return {tier: (*BUILT_IN[tier], *getattr(own, tier)) for tier in TIERS}


def _code(error: Exception) -> str:
    if isinstance(error, EngineError | RequestError) and error.code:
        return error.code
    return "timeout" if isinstance(error, TimeoutError) else "failed"
