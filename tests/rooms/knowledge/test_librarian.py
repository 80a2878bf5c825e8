"""The librarian: found, started, shared, killed, and gone when nobody needs it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from array import array
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hanok.errors import KeptUnreachable, StoreError
from hanok.knowledge.children import calls
from hanok.knowledge.children.calls import Card, Settings
from hanok.knowledge.children.librarian import Librarian, read_card
from hanok.knowledge.client import LibrarianStore, open_store
from hanok.knowledge.store import Store
from hanok.knowledge.stores.memory import MemoryStore
from hanok.knowledge.stores.milvus import MilvusStore
from hanok.knowledge.values import EVERYONE, Head, Query, Row, Shape
from hanok.spec import load
from hanok.spec.tree import Index
from tests.conftest import free_port, wait_until

pytest.importorskip("pymilvus", reason="pymilvus is not installed")
SHAPE = Shape(dimensions=2, index=Index())
POINT = array("f", [1.0, 0.5]).tobytes()


def row(name: str) -> Row:
    plain: dict[str, Any] = {"document": "a.md", "digest": "d", "ordinal": 1, "path": "a.md", "title": "A"}
    return Row(**plain, id=name, text=name, terms="alpha", vector=POINT)


def asking(state: Path) -> LibrarianStore:
    return LibrarianStore(state, Settings(uri=str(state / "knowledge" / "passages.db")))


def card_in(state: Path) -> Card:
    (file,) = state.glob("librarian-*.json")
    card = read_card(file)
    assert card is not None
    return card


def lives(pid: int) -> bool:
    """Whether a process runs; one that nobody has reaped does not."""
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for file in tmp_path.glob("librarian-*.json"):
        if card := read_card(file):
            with contextlib.suppress(ProcessLookupError):
                os.kill(card.pid, signal.SIGKILL)


async def count_in(store: LibrarianStore, name: str) -> int:
    described = await store.describe(name)
    assert described is not None
    return described.passages


@pytest.mark.slow
def test_no_acknowledged_row_is_lost_or_doubled_when_the_librarian_is_killed_while_writing(state: Path) -> None:
    written: list[str] = []

    async def write(store: LibrarianStore, name: str, writer: int) -> None:
        for n in range(12):
            rows = [row(f"{name}w{writer}n{n}k{k}") for k in range(5)]
            await store.write(name, rows)
            written.extend(each.id for each in rows)

    async def kill_after(count: int) -> None:
        while len(written) < count:
            await asyncio.sleep(0.001)
        os.kill(card_in(state).pid, signal.SIGKILL)

    async def everybody() -> None:
        first, second = asking(state), asking(state)
        for name in ("one", "two"):
            await first.create(name, SHAPE)
        writers = [write(store, name, at) for at, store in enumerate((first, second)) for name in ("one", "two")]
        await asyncio.gather(*writers, kill_after(40))
        os.kill(card_in(state).pid, signal.SIGKILL)  # and again, when all is acknowledged
        for name in ("one", "two"):
            hits = await first.search(name, Query(readers=(EVERYONE,), terms="alpha", k=100, fetch_k=500))
            assert len(hits) == 100
            assert await count_in(second, name) == 120
        await asyncio.gather(first.aclose(), second.aclose())

    asyncio.run(everybody())
    assert len(set(written)) == 240


@pytest.mark.slow
def test_two_who_start_it_at_once_find_the_same_and_it_leaves_after_the_last(state: Path) -> None:
    async def both() -> int:
        first, second = asking(state), asking(state)
        await asyncio.gather(first.create("one", SHAPE), second.create("one", SHAPE))
        await first.write("one", [row("p1")])
        assert await count_in(second, "one") == 1
        card = card_in(state)
        await first.aclose()
        assert await count_in(second, "one") == 1
        await second.aclose()
        return card.pid

    pid = asyncio.run(both())
    wait_until(lambda: not lives(pid))
    assert not list(state.glob("librarian-*.json"))
    assert "Traceback" not in (state / "logs" / "librarian.log").read_text()


_ASKER = """
import asyncio, sys
from pathlib import Path
from hanok.knowledge.children.calls import Settings
from hanok.knowledge.client import LibrarianStore
async def main():
    state = Path(sys.argv[1])
    await LibrarianStore(state, Settings(uri=str(state / "knowledge" / "passages.db"))).list_collections()
    print("connected", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def test_it_leaves_when_the_last_who_asked_is_killed(state: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _ASKER, str(state)], stdout=subprocess.PIPE) as asker:
        assert asker.stdout is not None
        assert asker.stdout.readline() == b"connected\n"
        pid = card_in(state).pid
        assert os.getpriority(os.PRIO_PROCESS, pid) >= 5
        asker.kill()
    wait_until(lambda: not lives(pid))


def test_who_has_no_token_gets_nothing_and_its_file_is_its_owners(state: Path) -> None:
    async def knock() -> None:
        store = asking(state)
        await store.list_collections()
        (file,) = state.glob("librarian-*.json")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        card = card_in(state)
        request = calls.encode(calls.Request(number=1, call=calls.ListCollections()))
        for shown in (calls.frame(b"x" * 64), calls.frame(b""), calls.frame(b"x" * 5000), b"GET / HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", card.port)
            writer.write(shown + calls.frame(request))
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", card.port)
        writer.write(calls.frame(card.token.encode()) + calls.frame(b"no request"))
        assert await calls.read_frame(reader) == calls.GREETING
        assert await reader.read() == b""
        writer.close()
        assert await store.list_collections() == []  # the others do not notice
        await store.aclose()

    asyncio.run(knock())


def test_it_ends_when_its_folder_is_gone(state: Path) -> None:
    inner = state / "inner"

    async def connected() -> int:
        store = asking(inner)
        await store.list_collections()
        pid = card_in(inner).pid
        shutil.rmtree(inner)
        for _ in range(1000):
            if not lives(pid):
                break
            await asyncio.sleep(0.01)
        await store.aclose()
        return pid

    assert not lives(asyncio.run(connected()))


def test_what_its_store_raises_arrives_as_it_was(state: Path) -> None:
    async def ask() -> None:
        nobody = f"http://127.0.0.1:{free_port()}"
        store = LibrarianStore(state, Settings(uri=nobody, token="root:hunter2", timeout_s=1.0))
        with pytest.raises(KeptUnreachable, match="cannot be reached") as raised:
            await store.list_collections()
        assert raised.value.hint == "start it, or look at `milvus.uri`"
        await store.aclose()

    asyncio.run(ask())
    assert "hunter2" not in (state / "logs" / "librarian.log").read_text()
    assert not any("hunter2" in file.read_text("latin-1") for file in state.glob("librarian-*"))


def test_a_store_is_lazy_and_lives_in_the_state_folder(write_platform: Any) -> None:
    loaded = load(write_platform({"name": "echo", "serve": {"engine": "echo"}}), {})
    asyncio.run(open_store(loaded).aclose())
    assert not list(loaded.state.glob("librarian-*"))


def test_nobody_is_started_to_say_that_nothing_was_ever_kept(state: Path) -> None:
    async def ask() -> None:
        store = asking(state)
        assert await store.describe("one") is None
        await store.aclose()

    asyncio.run(ask())
    assert list(state.iterdir()) == []


def test_without_the_packages_the_install_line_is_told(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)  # they are installed where tests run
    with pytest.raises(StoreError, match="pymilvus") as raised:
        asyncio.run(asking(state).list_collections())
    assert raised.value.hint == 'pip install "hanok[rag]"'


def test_lite_tells_what_it_cannot_do(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def ask() -> None:
        store = MilvusStore(str(tmp_path / "passages.db"))
        for kind in ("GPU_IVF_FLAT", "SCANN"):
            with pytest.raises(StoreError, match=f"Milvus Lite builds no index {kind}"):
                await store.create("one", Shape(dimensions=2, index=Index(type=kind)))
        await store.aclose()
        (tmp_path / "old.db").write_bytes(b"SQLite format 3\0")
        with pytest.raises(StoreError, match="cannot open"):
            await MilvusStore(str(tmp_path / "old.db")).list_collections()

    asyncio.run(ask())
    assert capfd.readouterr() == ("", "")


def test_calls_that_come_first_together_open_a_collection_of_lite_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one waits for ever: what it loaded is not what is asked whether it is loaded."""
    import milvus_lite.db

    opened: list[str] = []
    twice = threading.Event()

    class Counted(milvus_lite.db.Collection):
        def __init__(self, name: str, *rest: Any, **named: Any) -> None:
            opened.append(name)
            twice.set() if len(opened) > 1 else twice.wait(1)
            super().__init__(name, *rest, **named)

    async def make() -> None:
        store = MilvusStore(str(tmp_path / "passages.db"))
        await store.create("one", Shape(dimensions=2, index=Index()))
        await store.aclose()

    async def ask() -> None:
        store = MilvusStore(str(tmp_path / "passages.db"))
        async with asyncio.timeout(30):
            await asyncio.gather(store.list_collections(), store.heads("one"), store.describe("one"))
        await store.aclose()

    asyncio.run(make())
    monkeypatch.setattr(milvus_lite.db, "Collection", Counted)
    asyncio.run(ask())
    assert opened == ["one"]


def test_lite_is_opened_by_one_process_alone(state: Path) -> None:
    async def ask() -> None:
        store = asking(state)
        await store.list_collections()
        with pytest.raises(StoreError, match="another process has it"):
            await MilvusStore(str(state / "knowledge" / "passages.db")).list_collections()
        await store.aclose()

    asyncio.run(ask())


def test_whoever_asks_for_the_same_lite_finds_the_same_librarian(state: Path) -> None:
    async def both() -> None:
        uri = str(state / "knowledge" / "passages.db")
        first = LibrarianStore(state, Settings(uri=uri))
        second = LibrarianStore(state, Settings(uri=uri, token="changed", db="other", timeout_s=5.0))
        await first.create("one", SHAPE)
        assert await second.list_collections() == ["one"]
        await asyncio.gather(first.aclose(), second.aclose())

    asyncio.run(both())


def test_writes_that_wait_when_it_is_told_to_end_are_made_with_the_next(state: Path) -> None:
    async def write() -> None:
        store = asking(state)
        await store.create("one", SHAPE)
        card = card_in(state)
        writers = [asyncio.create_task(store.write("one", [row(f"w{n}")])) for n in range(30)]
        await asyncio.wait(writers, return_when=asyncio.FIRST_COMPLETED)
        os.kill(card.pid, signal.SIGTERM)
        await asyncio.gather(*writers)
        assert await count_in(store, "one") == 30
        await store.aclose()

    asyncio.run(write())


@contextlib.asynccontextmanager
async def librarian_of(kept: Store, state: Path) -> AsyncIterator[LibrarianStore]:
    """Who asks a librarian that runs here, over that store."""
    asked = asking(state)
    file = asked._file  # pyright: ignore[reportPrivateUsage]
    librarian = Librarian(kept, b"token")
    server = await asyncio.start_server(librarian.meet, "127.0.0.1", 0)
    card = Card(pid=2**30, port=server.sockets[0].getsockname()[1], token="token")
    file.write_bytes(msgspec.json.encode(card))
    with file.with_suffix(".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield asked
        await asked.aclose()
        server.close()
        await librarian.aclose()
    file.unlink()


class Waiting(MemoryStore):
    """Never tells which collections there are."""

    async def list_collections(self) -> list[str]:
        await asyncio.Event().wait()
        return []


def test_calls_on_their_way_when_a_store_is_closed_end_and_later_ones_too(state: Path) -> None:
    async def ask() -> None:
        async with librarian_of(Waiting(), state) as store:
            assert await store.describe("one") is None
            call = asyncio.create_task(store.list_collections())
            await store.describe("one")
            await store.aclose()
            with pytest.raises(StoreError, match="closed"):
                await call
            with pytest.raises(StoreError, match="closed"):
                await store.describe("one")

    asyncio.run(ask())


def test_more_heads_than_one_message_takes_arrive(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "FRAME_LIMIT_BYTES", 64 * 1024)
    monkeypatch.setattr(calls, "PART_BYTES", 16 * 1024)

    async def ask() -> list[Head]:
        kept = MemoryStore()
        await kept.create("one", SHAPE)
        for n in range(300):
            about: dict[str, Any] = {"document": f"{n}.md", "path": f"{n}.md", "title": "x" * 1000, "digest": "d"}
            whole = Head(**about, passages=1, bytes=1)
            await kept.write("one", [Row(**about, id=f"p{n}", ordinal=0, text="", terms="", vector=POINT, head=whole)])
        async with librarian_of(kept, state) as store:
            assert await store.heads("none") == []
            return await store.heads("one")

    assert [head.document for head in asyncio.run(ask())] == [f"{n}.md" for n in range(300)]
