"""Documents behind a URI: S3, for which moto stands, and the memory of a process."""

from __future__ import annotations

import http.client
import importlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import fsspec
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from hanok.errors import DocumentRefused, SourceUnreadable
from hanok.knowledge.sources import uri_client
from tests.rooms.knowledge.opening import entries_of, read_from


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of a server that speaks S3, with the bucket `docs`."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    url = f"http://127.0.0.1:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1"
    )
    client.create_bucket(Bucket="docs")
    yield client
    client.close()
    server.stop()


@pytest.fixture
def options(s3: Any) -> dict[str, Any]:
    """What reaches that server."""
    return {"endpoint_url": s3.meta.endpoint_url, "key": "k", "secret": "s"}


def put(s3: Any, *keys: str, body: bytes = b"text") -> None:
    for key in keys:
        s3.put_object(Bucket="docs", Key=key, Body=body)


def test_objects_are_listed_by_their_keys_and_read(s3: Any, options: dict[str, Any], tmp_path: Path) -> None:
    put(s3, "hand book/", body=b"")
    put(s3, "hand book/empty.md", body=b"")
    put(s3, "hand book/한국어 문서.md", "hand book/a//b%20.md", "hand book/.hidden.md", "other.md")
    found = entries_of(tmp_path, uri="s3://docs/hand book", options=options, team="red", metadata={"year": 2026})
    below = [entry.path.removeprefix("s3://docs/hand book/") for entry in found]
    assert below == ["a//b%20.md", "empty.md", "한국어 문서.md"]
    assert found[0].uri == "s3://docs/hand book/a//b%2520.md"
    assert (found[0].reader, found[0].metadata) == ("red", {"year": 2026})
    texts = [read_from(tmp_path, entry, uri="s3://docs/hand book", options=options) for entry in found]
    assert texts == [b"text", b"", b"text"]


def test_one_object_is_a_source_too(s3: Any, options: dict[str, Any], tmp_path: Path) -> None:
    put(s3, "one.bin")
    (entry,) = entries_of(tmp_path, uri="s3://docs/one.bin", options=options, known=lambda _: False)
    assert entry.uri == "s3://docs/one.bin"


def test_a_change_of_an_object_is_a_change_of_its_version(s3: Any, options: dict[str, Any], tmp_path: Path) -> None:
    put(s3, "changes/a.md", body=b"one")
    (before,) = entries_of(tmp_path, uri="s3://docs/changes", options=options)
    (same,) = entries_of(tmp_path, uri="s3://docs/changes/", options=options)
    put(s3, "changes/a.md", body=b"two")
    (after,) = entries_of(tmp_path, uri="s3://docs/changes", options=options)
    assert before == same
    assert before.version != after.version


def test_more_keys_than_one_page_of_a_list_has_are_all_there(s3: Any, options: dict[str, Any], tmp_path: Path) -> None:
    for number in range(1003):  # past HTTP, which would take ten seconds
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object("docs", f"many/{number:04}.md", b"text")
    found = entries_of(tmp_path, uri="s3://docs/many", options=options)
    assert len({entry.uri for entry in found}) == 1003
    with pytest.raises(SourceUnreadable, match="has more than 1,000 documents"):
        entries_of(tmp_path, uri="s3://docs/many", options=options, max_documents=1000)


def test_globs_choose_among_keys(s3: Any, options: dict[str, Any], tmp_path: Path) -> None:
    put(s3, "globs/a.md", "globs/b.txt", "globs/old/c.md")
    found = entries_of(tmp_path, uri="s3://docs/globs", options=options, include=["*.md"], exclude=["old/"])
    assert [entry.path for entry in found] == ["s3://docs/globs/a.md"]


def test_an_object_that_is_gone_or_too_large_is_refused_alone(s3: Any, options: dict[str, Any], tmp_path: Path) -> None:
    put(s3, "sizes/a.md", "sizes/b.md", body=b"12345")
    a, b = entries_of(tmp_path, uri="s3://docs/sizes", options=options)
    s3.delete_object(Bucket="docs", Key="sizes/a.md")
    with pytest.raises(DocumentRefused, match="no longer there"):
        read_from(tmp_path, a, uri="s3://docs/sizes", options=options)
    with pytest.raises(DocumentRefused, match="is larger than"):
        read_from(tmp_path, b, uri="s3://docs/sizes", options=options, limit_bytes=4)
    assert read_from(tmp_path, b, uri="s3://docs/sizes", options=options, limit_bytes=5) == b"12345"


def test_a_bucket_or_prefix_that_is_not_there_is_unreadable(options: dict[str, Any], s3: Any, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="does not exist"):
        entries_of(tmp_path, uri="s3://none/docs", options=options)
    with pytest.raises(SourceUnreadable, match="there is nothing at s3://docs/none"):
        entries_of(tmp_path, uri="s3://docs/none", options=options)
    s3.create_bucket(Bucket="empty")
    assert entries_of(tmp_path, uri="s3://empty", options=options) == []


def test_wrong_credentials_make_the_source_unreadable(tmp_path: Path) -> None:
    """A server that asks who comes."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        url = f"http://127.0.0.1:{port}"
        admin = boto3.client("s3", endpoint_url=url, aws_access_key_id="k", aws_secret_access_key="s")
        admin.create_bucket(Bucket="closed")
        count(url, "0")
        with pytest.raises(SourceUnreadable, match="s3://closed cannot be listed"):
            entries_of(tmp_path, uri="s3://closed", options={"endpoint_url": url, "key": "x", "secret": "hush"})
        admin.close()
    finally:
        count(url, "inf")
        server.stop()


def count(url: str, calls: str) -> None:
    """Let the server ask who comes after that many calls."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request("POST", "/moto-api/reset-auth", body=calls)
    assert connection.getresponse().status == 200
    connection.close()


def test_a_server_that_is_not_there_makes_the_source_unreadable(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="cannot be listed"):
        entries_of(
            tmp_path,
            uri="s3://docs",
            options={"endpoint_url": "http://127.0.0.1:1", "key": "k", "secret": "s", "max_attempts": 1},
        )


def test_other_file_systems_are_read_the_same_way(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/sources/docs/a.md", b"remembered")
    (entry,) = entries_of(tmp_path, uri="memory://sources/docs")
    assert entry.version
    assert entry.uri == "memory:///sources/docs/a.md"
    assert read_from(tmp_path, entry, uri="memory://sources/docs") == b"remembered"
    memory.rm("/sources", recursive=True)


@pytest.mark.parametrize("uri", ["http://127.0.0.1/x", "https://a.example/x", "zip://*::http://127.0.0.1/x.zip"])
def test_the_web_is_left_to_what_is_careful_with_it(tmp_path: Path, uri: str) -> None:
    with pytest.raises(SourceUnreadable, match="is not read as `uri`") as refused:
        entries_of(tmp_path, uri=uri)
    assert "`url`" in (refused.value.hint or "")


def test_what_nobody_can_read_is_said_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceUnreadable, match="Protocol not known"):
        entries_of(tmp_path, uri="teapot://docs")

    def missing(name: str) -> Any:  # the libraries are installed here
        raise ImportError(f"No module named {name!r}", name="fsspec")

    monkeypatch.setattr(uri_client, "import_module", missing)
    with pytest.raises(SourceUnreadable) as refused:
        entries_of(tmp_path, uri="s3://docs")
    assert refused.value.hint == 'pip install "hanok[rag]"'
    monkeypatch.setattr(uri_client, "import_module", importlib.import_module)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(SourceUnreadable) as refused:
        entries_of(tmp_path, uri="s3://docs")
    assert refused.value.hint == 'pip install "hanok[s3]"'
