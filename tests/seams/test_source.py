"""What every kind of source keeps: the same list twice, other versions after changes, refusals one by one."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest

from hanok.errors import DocumentRefused, SourceUnreadable
from hanok.knowledge.source import Opened
from hanok.knowledge.sources.table import KINDS, open_source
from hanok.knowledge.values import Entry
from tests.rooms.knowledge.opening import around, source_of
from tests.website import running_site


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place that documents can be put into, under a name; `take_away` removes the whole of it."""

    declared: dict[str, Any]
    put: Callable[[str, str], None]
    remove: Callable[[str], None]
    take_away: Callable[[], None]


def folder_place(folder: Path) -> Iterator[Place]:
    docs = folder / "docs"
    docs.mkdir()
    yield Place(
        declared={"path": "docs"},
        put=lambda name, text: void((docs / name).write_text(text)),
        remove=lambda name: (docs / name).unlink(),
        take_away=lambda: shutil.rmtree(docs),
    )


def memory_place(folder: Path) -> Iterator[Place]:
    memory, root = fsspec.filesystem("memory"), f"/{folder.name}"
    memory.makedirs(root)
    yield Place(
        declared={"uri": f"memory://{folder.name}"},
        put=lambda name, text: memory.pipe(f"{root}/{name}", text.encode()),
        remove=lambda name: memory.rm(f"{root}/{name}"),
        take_away=lambda: memory.rm(root, recursive=True),
    )
    if memory.exists(root):
        memory.rm(root, recursive=True)


def git_place(folder: Path) -> Iterator[Place]:
    origin = folder / "origin"
    origin.mkdir()

    def git(*arguments: str) -> None:
        own = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgSign=false")
        subprocess.run(["git", *own, *arguments], cwd=origin, check=True, capture_output=True)

    def commit() -> None:
        git("add", "--all")
        git("commit", "--quiet", "--allow-empty", "--message=m")

    def put(name: str, text: str) -> None:
        (origin / name).write_text(text)
        commit()

    def remove(name: str) -> None:
        (origin / name).unlink()
        commit()

    git("init", "--quiet")
    commit()
    yield Place(declared={"git": "origin"}, put=put, remove=remove, take_away=lambda: shutil.rmtree(origin))


def sitemap_place(folder: Path) -> Iterator[Place]:
    with running_site() as site:

        def told() -> None:
            pages = "".join(f"<url><loc>{site.url}{path}</loc></url>" for path in site.replies if path.endswith(".md"))
            site.page("/sitemap.xml", f"<urlset>{pages}</urlset>")

        def put(name: str, text: str) -> None:
            site.page(f"/{name}", text, ETag=text)
            told()

        def remove(name: str) -> None:
            del site.replies[f"/{name}"]
            told()

        told()
        declared = {"sitemap": f"{site.url}/sitemap.xml", "private": True}
        yield Place(declared=declared, put=put, remove=remove, take_away=site.replies.clear)


def void(_value: object) -> None:
    """Nothing."""


PLACES = {"path": folder_place, "uri": memory_place, "git": git_place, "sitemap": sitemap_place}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from PLACES[request.param](tmp_path)


@pytest.fixture
def open_place(place: Place, tmp_path: Path) -> Callable[..., Opened]:
    return lambda **more: open_source(source_of(**place.declared, **more), around(tmp_path))


def entries(opened: Opened) -> dict[str, Entry]:
    """Entries by the last part of what they are known by."""

    async def collect() -> dict[str, Entry]:
        found = [entry async for entry in opened.entries()]
        return {entry.uri.replace(":", "/").rpartition("/")[2]: entry for entry in found}

    return asyncio.run(collect())


def read(opened: Opened, entry: Entry, limit_bytes: int = 1000) -> bytes:
    return asyncio.run(opened.read(entry, limit_bytes))


def test_what_is_put_there_is_listed_and_read(place: Place, open_place: Callable[..., Opened]) -> None:
    place.put("a.md", "one")
    place.put("b.md", "two")
    opened = open_place(team="red", metadata={"year": 2026}, type="text")
    found = entries(opened)
    assert {name: read(opened, entry) for name, entry in found.items()} == {"a.md": b"one", "b.md": b"two"}
    assert {(entry.reader, entry.metadata["year"], entry.type) for entry in found.values()} == {("red", 2026, "text")}


def test_a_source_opened_anew_lists_the_same(place: Place, open_place: Callable[..., Opened]) -> None:
    place.put("a.md", "one")
    first = entries(open_place())
    assert entries(open_place()) == first
    assert read(open_place(), first["a.md"]) == b"one"


def test_versions_change_where_documents_do_and_nowhere_else(place: Place, open_place: Callable[..., Opened]) -> None:
    place.put("a.md", "one")
    place.put("b.md", "two")
    before = entries(open_place())
    place.put("a.md", "other")
    after = entries(open_place())
    assert before["a.md"].version != after["a.md"].version
    assert before["b.md"] == after["b.md"]


def test_what_is_removed_is_no_longer_listed(place: Place, open_place: Callable[..., Opened]) -> None:
    place.put("a.md", "one")
    place.put("b.md", "two")
    entries(open_place())
    place.remove("a.md")
    assert set(entries(open_place())) == {"b.md"}


def test_a_document_that_is_too_large_is_refused_alone(place: Place, open_place: Callable[..., Opened]) -> None:
    place.put("a.md", "12345")
    place.put("b.md", "1")
    opened = open_place()
    found = entries(opened)
    with pytest.raises(DocumentRefused, match="is larger than") as refused:
        read(opened, found["a.md"], 4)
    assert refused.value.code == "too_large"
    assert read(opened, found["a.md"], 5) == b"12345"
    assert read(opened, found["b.md"], 4) == b"1"


def test_more_than_declared_is_unreadable(place: Place, open_place: Callable[..., Opened]) -> None:
    place.put("a.md", "one")
    place.put("b.md", "two")
    assert len(entries(open_place(max_documents=2))) == 2
    with pytest.raises(SourceUnreadable, match="has more than 1 documents"):
        entries(open_place(max_documents=1))


def test_a_place_that_is_gone_is_unreadable_and_not_empty(place: Place, open_place: Callable[..., Opened]) -> None:
    place.put("a.md", "one")
    opened = open_place()
    assert len(entries(opened)) == 1
    place.take_away()
    with pytest.raises(SourceUnreadable):
        entries(open_place())


def test_a_source_can_be_closed_whatever_it_did(place: Place, open_place: Callable[..., Opened]) -> None:
    async def use() -> None:
        opened = open_place()
        await opened.aclose()
        await opened.aclose()

    asyncio.run(use())


def test_every_kind_has_its_module_and_opens_it_alone() -> None:
    """Libraries that are heavy wait until a source needs them."""
    code = (
        "import sys; from pathlib import Path; from hanok.spec import Source\n"
        "from hanok.knowledge.sources.table import KINDS, open_source\n"
        "from hanok.knowledge.sources.listing import Surroundings\n"
        "around = Surroundings(folder=Path('.'), state=Path('state'))\n"
        "for given in ({'path': '.'}, {'url': 'http://a.example/'}, {'sitemap': 'http://a.example/s'},\n"
        "              {'git': '.'}, {'builtin': 'handbook'}, {'uri': 'file:///'}):\n"
        "    open_source(Source(**given), around)\n"
        "print({'fsspec', 's3fs', 'aiobotocore', 'numpy', 'pymilvus', 'kreuzberg', 'httpx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert set(KINDS) == {"path", "url", "sitemap", "git", "uri", "builtin"}
