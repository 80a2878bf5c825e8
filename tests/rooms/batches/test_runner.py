"""Who runs batches and when: by a clock that the test moves, with an asker that answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hanok.batches import Batch, FileEntry, Folder, Intake, Later, Outcome, Runner, Shelf, Tables, Tokens
from hanok.batches.stores import results as results_module
from hanok.batches.stores.folder import LEFT_AFTER_S
from hanok.batches.stores.results import Results
from hanok.errors import RequestError
from hanok.spec import Batches
from tests.rooms.batches.orders import CHAT, chat_line, jsonl

OK = Outcome(
    status=200, body=b'{"usage": {"prompt_tokens": 2, "completion_tokens": 1}}', tokens=Tokens(input=2, output=1)
)
FULL = Later(outcome=Outcome(status=429, body=b"{}"), patient=True, after_s=0.0)
EIGHT = datetime(2026, 11, 22, 20, 0, tzinfo=UTC).timestamp()
HOUR = 3600
DEFAULTS = Batches()
NIGHT = Batches.model_validate({"window": {"from": "22:00", "to": "06:00"}})


class Asker:
    """Answers at once, or when it is told; remembers what it was asked."""

    endpoints = (CHAT,)

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.running = self.most = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.answers: dict[str, list[Outcome | Later]] = {}

    def check(self, batch: Batch, body: bytes) -> str:
        return str(json.loads(body)["model"])

    async def ask(self, batch: Batch, body: bytes, request_id: str) -> Outcome | Later:
        content = json.loads(body)["messages"][0]["content"]
        self.asked.append(content)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.may_answer.wait()
        finally:
            self.running -= 1
        answers = self.answers.get(content, [OK])
        return answers.pop(0) if len(answers) > 1 else answers[0]


class Place:
    """A state folder, and who works in it."""

    def __init__(self, state: Path, settings: Batches = DEFAULTS) -> None:
        self.now = EIGHT
        self.busy: set[str] = set()
        self.forgotten: list[tuple[str, str]] = []
        self.asker = Asker()
        self.state = state
        self.tables, self.folder = Tables(state / "batches.db"), Folder(state, wall=time.time)
        self.runner = Runner(
            state,
            tables=self.tables,
            folder=self.folder,
            asker=self.asker,
            settings=settings,
            line_limit=1024 * 1024,
            serves=lambda: True,
            gives_way=lambda model: model in self.busy,
            forget=self._forget,
            wall=lambda: self.now,
            monotonic=asyncio.get_running_loop().time,
            random_hex=lambda digits: secrets.token_hex(digits // 2),
        )
        more: Any = {"wall": lambda: self.now, "random_hex": lambda digits: secrets.token_hex(digits // 2)}
        self.room = 1 << 30
        self.shelf = Shelf(tables=self.tables, folder=self.folder, limit=lambda: self.room, **more)
        self.intake = Intake(tables=self.tables, folder=self.folder, asker=self.asker, wake=self.runner.wake, **more)

    async def _forget(self, file_id: str, owner: str) -> None:
        assert file_id in self.tables.known_files()
        self.forgotten.append((file_id, owner))

    async def upload(self, lines: list[Any] | bytes, owner: str = "ann") -> FileEntry:
        async with self.shelf.receiving() as incoming:
            await incoming.take(lines if isinstance(lines, bytes) else jsonl(lines))
            return await self.shelf.add(incoming, owner=owner, filename="x", purpose="batch", keep_s=30 * 24 * HOUR)

    async def order(self, lines: list[Any] | bytes, owner: str = "ann") -> Batch:
        return await self.intake.create(
            await self.upload(lines, owner),
            endpoint=CHAT,
            completion_window="24h",
            key_id="key_1",
            metadata=None,
            keep_s=HOUR,
            session=None,
            run=None,
        )

    async def until(self, wanted: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not wanted():
                self.runner.wake()
                await asyncio.sleep(0.01)

    def standing(self, batch: Batch) -> Batch:
        found = self.tables.batch(batch.id, batch.owner)
        assert found is not None
        return found

    def written(self, file: str | None) -> list[Any]:
        assert file is not None
        with self.folder.open(file) as opened:
            return [json.loads(line) for line in opened]


@contextlib.asynccontextmanager
async def working(place: Place) -> AsyncGenerator[Place]:
    live = asyncio.create_task(place.runner.live())
    try:
        yield place
    finally:
        live.cancel()
        await asyncio.gather(live, return_exceptions=True)
        await place.runner.close()


def run(work: Callable[[Path], Any], folder: Path) -> None:
    asyncio.run(work(folder))


def questions(count: int, **more: Any) -> list[Any]:
    return [chat_line(str(each), f"q{each}", **more) for each in range(count)]


def test_lines_are_asked_when_the_window_opens_and_not_before(tmp_path: Path) -> None:
    async def work(state: Path) -> None:
        async with working(Place(state, NIGHT)) as place:
            batch = await place.order(questions(5))
            await place.until(lambda: place.standing(batch).status == "in_progress")
            assert place.runner.starts_at() == EIGHT + 2 * HOUR
            assert place.asker.asked == []
            place.now = EIGHT + 2 * HOUR
            await place.until(lambda: place.standing(batch).status == "completed")
            assert place.runner.starts_at() is None
            assert place.standing(batch).tokens == Tokens(input=10, output=5)

    run(work, tmp_path)


def test_lines_that_run_when_the_window_closes_end_and_others_wait(tmp_path: Path) -> None:
    async def work(state: Path) -> None:
        async with working(Place(state, NIGHT.model_copy(update={"concurrency": 2}))) as place:
            place.now = EIGHT + 3 * HOUR
            place.asker.may_answer.clear()
            batch = await place.order(questions(5))
            await place.until(lambda: place.asker.running == 2)
            place.now = EIGHT + 11 * HOUR
            await place.until(lambda: place.runner.starts_at())
            place.runner.change(place.runner.settings, line_limit=1024)
            place.asker.may_answer.set()
            await place.until(lambda: place.standing(batch).counts.completed == 2)
            assert len(place.asker.asked) == 2
            place.runner.change(Batches(concurrency=2), line_limit=1024)  # taken up while it runs
            await place.until(lambda: place.standing(batch).status == "completed")

    run(work, tmp_path)


def test_whoever_uses_a_file_is_told_before_it_expires(tmp_path: Path) -> None:
    async def run() -> None:
        place = Place(tmp_path)
        file = await place.upload(b"text")
        place.now += 31 * 24 * HOUR
        async with working(place):
            await place.until(lambda: not place.tables.known_files())
        assert place.forgotten == [(file.id, "ann")]

    asyncio.run(run())


def test_what_is_not_asked_in_time_expires_and_what_was_answered_stays(tmp_path: Path) -> None:
    async def work(state: Path) -> None:
        async with working(Place(state, Batches(concurrency=3))) as place:
            place.asker.answers["q7"] = [FULL]
            batch = await place.order(questions(10))
            await place.until(lambda: place.standing(batch).counts.completed == 9)
            place.now = EIGHT + 24 * HOUR
            await place.until(lambda: place.standing(batch).status == "expired")
            ended = place.standing(batch)
            assert (ended.counts.completed, ended.counts.failed, ended.expired_at) == (9, 1, int(place.now))
            (error,) = place.written(ended.error_file_id)
            assert (error["custom_id"], error["response"], error["error"]["code"]) == ("7", None, "batch_expired")
            assert len(place.written(ended.output_file_id)) == 9
            assert dict(place.runner.ended) == {"completed": 9, "expired": 1}

    run(work, tmp_path)


def test_a_batch_that_was_never_checked_expires_whatever_its_lines_are(tmp_path: Path) -> None:
    async def work(state: Path) -> None:
        place = Place(state)
        deep = b'{"custom_id": "deep", "body": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
        batch = await place.order(deep + b'{"custom_id": "\xff"}\n' + jsonl(questions(1)))
        place.now = EIGHT + 24 * HOUR
        async with working(place):
            await place.until(lambda: place.standing(batch).status == "expired")
            (error,) = place.written(place.standing(batch).error_file_id)
            assert (error["custom_id"], error["error"]["code"]) == ("0", "batch_expired")

    run(work, tmp_path)


def test_files_that_come_at_once_share_their_owners_room(tmp_path: Path) -> None:
    async def work(state: Path) -> None:
        place = Place(state)
        place.room = 250
        came = await asyncio.gather(*(place.upload(b"x" * 100) for _ in range(6)), return_exceptions=True)
        refused = [each for each in came if isinstance(each, RequestError)]
        assert [each.code for each in refused] == ["storage_limit_exceeded"] * 4
        assert len(list((state / "files").iterdir())) == 2

    run(work, tmp_path)


def test_no_more_lines_run_at_once_than_are_allowed_in_all_and_of_a_model(tmp_path: Path) -> None:
    async def work(state: Path) -> None:
        async with working(Place(state, Batches(concurrency=5, per_model=2))) as place:
            place.asker.may_answer.clear()
            first = await place.order(questions(10))
            second = await place.order(questions(10, model="other"), owner="bob")
            await place.until(lambda: place.asker.running == 4)
            assert place.runner.lines() == {("running",): 4.0, ("waiting",): 16.0}
            place.asker.may_answer.set()
            await place.until(lambda: all(place.standing(each).status == "completed" for each in (first, second)))
            assert place.asker.most <= 4

    run(work, tmp_path)


def test_lines_give_way_to_callers_who_wait_for_the_model(tmp_path: Path) -> None:
    async def work(state: Path) -> None:
        async with working(Place(state)) as place:
            place.busy.add("echo")
            busy = await place.order(questions(3))
            other = await place.order(questions(3, model="other"))
            await place.until(lambda: place.standing(other).status == "completed")
            assert place.standing(busy).counts.completed == 0
            place.busy.clear()
            await place.until(lambda: place.standing(busy).status == "completed")

    run(work, tmp_path)


def test_one_place_runs_batches_and_another_takes_over_when_it_leaves(tmp_path: Path) -> None:
    async def work(state: Path) -> None:
        second = Place(state)
        async with working(second):
            first = Place(state)
            assert second.runner.lines()[("waiting",)] == 0
            await second.order(questions(1))
            await second.until(lambda: second.asker.asked)
            async with working(first):
                first.asker.may_answer.clear()
                batch = await first.order(questions(4))
                await second.until(lambda: second.standing(batch).status == "completed")
                assert first.asker.asked == []

    run(work, tmp_path)


def test_what_was_given_back_is_taken_up_where_it_stood(tmp_path: Path) -> None:
    async def work(state: Path) -> None:
        async with working(Place(state, Batches(concurrency=1))) as place:
            batch = await place.order(questions(6))
            await place.until(lambda: place.standing(batch).counts.completed >= 2 or place.standing(batch).ended)
        again = Place(state)
        async with working(again):
            await again.until(lambda: again.standing(batch).status == "completed")
        assert sorted(place.asker.asked + again.asker.asked) == [f"q{each}" for each in range(6)]
        assert len(again.written(again.standing(batch).output_file_id)) == 6

    run(work, tmp_path)


def test_files_and_batches_are_forgotten_in_time(tmp_path: Path) -> None:
    async def work(state: Path) -> None:
        async with working(Place(state)) as place:
            batch = await place.order(questions(2))
            await place.until(lambda: place.standing(batch).status == "completed")
            place.now += 2 * HOUR
            assert place.tables.file(place.standing(batch).output_file_id or "", "ann", place.now) is None
        place.now += 31 * 24 * HOUR
        later = Place(state)
        later.now = place.now
        async with working(later):
            await later.until(lambda: not list((state / "files").iterdir()))
            await later.until(lambda: later.tables.batch(batch.id, "ann") is None)

    run(work, tmp_path)


def test_half_a_line_that_a_crash_left_is_cut_off(tmp_path: Path) -> None:
    whole = b'{"id":"x","custom_id":"a","response":{"body":{"usage":{"prompt_tokens":3}}}}\n'
    (tmp_path / "o").write_bytes(whole + whole.replace(b'"a"', b'"b"') + whole[:30] * 10_000)

    async def work(folder: Path) -> None:
        results = Results(folder / "o", folder / "e")
        assert (results.done, results.completed, results.tokens.input) == ({"a", "b"}, 2, 6)
        await results.add(whole.replace(b'"a"', b'"c"'), "c", answered=True)
        await results.close()
        assert len((folder / "o").read_bytes().splitlines()) == 3

    run(work, tmp_path)


def test_on_a_full_disk_a_line_waits_until_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_module, "FULL_DISK_WAIT_S", 0.02)
    line = b'{"custom_id":"%d"}' + b" " * 1000 + b"\n"

    async def work(folder: Path) -> None:
        results = Results(folder / "o", folder / "e")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2500, before[1]))
        try:
            adding = [asyncio.create_task(results.add(line % each, str(each), answered=True)) for each in range(4)]
            _, waiting = await asyncio.wait(adding, timeout=0.3)
            assert waiting and len((folder / "o").read_bytes()) % len(line % 0) == 0
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await asyncio.gather(*adding)
        await results.close()
        assert len((folder / "o").read_bytes().splitlines()) == 4

    run(work, tmp_path)


def test_what_a_killed_process_left_is_removed_by_the_clock_that_the_folder_is_given(tmp_path: Path) -> None:
    now = time.time()
    for later_s, left in ((0.0, True), (LEFT_AFTER_S + 60, False)):
        folder = Folder(tmp_path, wall=lambda at=now + later_s: at)
        folder.begin(f"file-{later_s:g}").close()
        folder.remove_unknown(set())
        assert any((tmp_path / "files").iterdir()) == left
