"""Documents in files: `path`, and `uri` with `file://`."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from hanok.errors import DocumentRefused, SourceUnreadable
from hanok.knowledge.values import EVERYONE, Entry
from tests.rooms.knowledge.opening import entries_of, read_from, write


def paths(folder: Path, **declared: Any) -> list[str]:
    return [entry.path for entry in entries_of(folder, **declared)]


def test_a_folders_files_are_listed_in_the_order_of_their_paths(tmp_path: Path) -> None:
    write(tmp_path, "docs/b.md", "docs/a/z.md", "docs/a.md", "docs/a-b.md", "docs/한국어.md", "other.md")
    assert paths(tmp_path, path="docs") == ["docs/a-b.md", "docs/a.md", "docs/a/z.md", "docs/b.md", "docs/한국어.md"]


def test_an_entry_says_what_is_declared_for_all(tmp_path: Path) -> None:
    write(tmp_path, "docs/a.md")
    declared: dict[str, Any] = {"path": "./docs/", "type": "text", "team": "red", "metadata": {"year": 2026}}
    (entry,) = entries_of(tmp_path, **declared)
    told = (tmp_path / "docs/a.md").stat()
    assert entry == Entry(
        uri="path:docs/a.md",
        path="docs/a.md",
        version=f"{told.st_size}-{told.st_mtime_ns}",
        type="text",
        reader="red",
        metadata={"year": 2026},
    )
    (plain,) = entries_of(tmp_path, path="docs")
    assert plain.reader == EVERYONE
    assert plain.type is None


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)))
    (entry,) = entries_of(tmp_path, path="a.bin")
    assert entry.uri == "path:a.bin"
    assert read_from(tmp_path, entry, path="a.bin") == bytes(range(256))


def test_absolute_paths_and_paths_above_are_read_where_they_are(tmp_path: Path) -> None:
    write(tmp_path, "shared/a.md", text="shared")
    platform = tmp_path / "platform"
    platform.mkdir()
    for place in ("../shared", str(tmp_path / "shared")):
        (entry,) = entries_of(platform, path=place)
        assert entry.uri == f"path:{place}/a.md"
        assert read_from(platform, entry, path=place) == b"shared"


def test_a_change_of_a_file_is_a_change_of_its_version(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    (before,) = entries_of(tmp_path, path="a.md")
    (unchanged,) = entries_of(tmp_path, path="a.md")
    os.utime(tmp_path / "a.md", ns=(1, 1))
    (after,) = entries_of(tmp_path, path="a.md")
    assert before == unchanged
    assert before.version != after.version


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("docs/*.md", ["docs/a.md"]),
        ("docs/**/*.md", ["docs/a.md", "docs/deep/b.md", "docs/deep/er/c.md"]),
        ("docs/*/b.md", ["docs/deep/b.md"]),
        ("docs/[!b]*.*", ["docs/a.md", "docs/a.txt"]),
        ("*/a.???", ["docs/a.txt"]),
        ("**/c.md", ["docs/deep/er/c.md"]),
        ("docs/deep/**", ["docs/deep/b.md", "docs/deep/er/c.md"]),
        ("docs/none*", []),
    ],
)
def test_a_glob_takes_what_fits_as_a_shell_does(tmp_path: Path, glob: str, found: list[str]) -> None:
    write(tmp_path, "docs/a.md", "docs/a.txt", "docs/deep/b.md", "docs/deep/er/c.md", "docs/.hidden.md")
    entries = entries_of(tmp_path, path=glob)
    assert [entry.path for entry in entries] == found
    assert [entry.uri for entry in entries] == [f"path:{path}" for path in found]
    assert all(read_from(tmp_path, entry, path=glob) == b"text" for entry in entries)


def test_a_file_whose_name_looks_like_a_glob_is_meant(tmp_path: Path) -> None:
    write(tmp_path, "a[1].md", "a1.md")
    assert paths(tmp_path, path="a[1].md") == ["a[1].md"]


@pytest.mark.parametrize(
    ("include", "exclude", "found"),
    [
        (["*.md"], [], ["a.md", "deep/b.md", "deep/er/c.md"]),
        (["/*.md"], [], ["a.md"]),
        (["deep/*.md"], [], ["deep/b.md"]),
        (["deep/"], [], ["deep/b.md", "deep/er/c.md"]),
        (["deep/**/*.md", "a.txt"], [], ["a.txt", "deep/b.md", "deep/er/c.md"]),
        (["er"], [], ["deep/er/c.md"]),
        ([], ["deep/**"], ["a.md", "a.txt"]),
        ([], ["er/"], ["a.md", "a.txt", "deep/b.md"]),
        (["*.md"], ["**/er/*", "a.*"], ["deep/b.md"]),
        ([], ["a.md/"], ["a.md", "a.txt", "deep/b.md", "deep/er/c.md"]),
        (["**"], [], ["a.md", "a.txt", "deep/b.md", "deep/er/c.md"]),
        (["**/deep/**/c.md"], [], ["deep/er/c.md"]),
    ],
)
def test_globs_choose_below_the_source_as_gitignores_do(
    tmp_path: Path, include: list[str], exclude: list[str], found: list[str]
) -> None:
    write(tmp_path, "docs/a.md", "docs/a.txt", "docs/deep/b.md", "docs/deep/er/c.md")
    shown = paths(tmp_path, path="docs", include=include, exclude=exclude)
    assert shown == [f"docs/{path}" for path in found]


def test_a_glob_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match=r"the glob '\[z-a\]\.md' cannot be read"):
        entries_of(tmp_path, path=".", include=["[z-a].md"])


def test_formats_that_are_not_known_are_taken_only_when_they_are_included(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b.bin")
    known = lambda path: path.endswith(".md")  # noqa: E731
    assert paths(tmp_path, path=".", known=known) == ["a.md"]
    assert paths(tmp_path, path=".", include=["*.bin"], known=known) == ["b.bin"]
    assert paths(tmp_path, path="b.bin", known=known) == ["b.bin"]
    assert paths(tmp_path, path="*.bin", known=known) == ["b.bin"]


def test_hidden_files_and_what_tools_fill_are_left_out_until_they_are_named(tmp_path: Path) -> None:
    hidden = [".git/a.md", ".venv/lib/a.md", "__pycache__/a.md", "b/.github/a.md", "b/.a.md", "node_modules/x/a.md"]
    write(tmp_path, "a.md", *hidden)
    assert paths(tmp_path, path=".") == ["a.md"]
    assert paths(tmp_path, path=".", include=["*.md"]) == ["a.md"]
    assert paths(tmp_path, path=".", include=["*.md", ".github/"]) == ["a.md", "b/.github/a.md"]
    assert paths(tmp_path, path=".", include=["node_modules/**", "**/.*.md"]) == ["b/.a.md", "node_modules/x/a.md"]
    assert paths(tmp_path, path="b/.github") == ["b/.github/a.md"]


def test_a_link_within_the_folder_is_the_file_that_it_leads_to(tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap: each file is a link into a hidden folder."""
    write(tmp_path, "docs/..2026/a.md", text="mounted")
    (tmp_path / "docs/..data").symlink_to("..2026")
    (tmp_path / "docs/a.md").symlink_to("..data/a.md")
    (entry,) = entries_of(tmp_path, path="docs")
    assert entry.path == "docs/a.md"
    assert read_from(tmp_path, entry, path="docs") == b"mounted"


def test_links_out_of_the_folder_and_round_in_circles_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "secret.md", "secrets/b.md", "docs/a.md", "docs-too/c.md")
    for name, target in {
        "up.md": "../secret.md",
        "up": "../secrets",
        "beside.md": "../docs-too/c.md",
        "loop": ".",
        "self.md": "self.md",
        "broken.md": "none.md",
        "abs.md": "/etc/passwd",
    }.items():
        (tmp_path / "docs" / name).symlink_to(target)
    assert paths(tmp_path, path="docs") == ["docs/a.md"]


def test_a_file_that_became_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "secret.md", "secrets/a.md", "docs/a.md", "docs/deep/a.md")
    first, second = entries_of(tmp_path, path="docs")
    (tmp_path / "docs/a.md").unlink()
    (tmp_path / "docs/a.md").symlink_to("../secret.md")
    (tmp_path / "docs/deep/a.md").unlink()
    (tmp_path / "docs/deep").rmdir()
    (tmp_path / "docs/deep").symlink_to("../secrets")
    for entry in (first, second):
        with pytest.raises(DocumentRefused, match="leads out of its folder"):
            read_from(tmp_path, entry, path="docs")


def test_an_entry_from_elsewhere_opens_nothing_outside_the_folder(tmp_path: Path) -> None:
    write(tmp_path, "secret.md", "docs/a.md")
    for uri in ("path:docs/../secret.md", "path:/etc/passwd", "path:../../../../etc/passwd", "path:docs"):
        with pytest.raises(DocumentRefused):
            read_from(tmp_path, Entry(uri=uri, path="x"), path="docs")


def test_the_declared_folder_may_itself_be_a_link(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/a.md")
    (tmp_path / "docs").symlink_to("elsewhere")
    (entry,) = entries_of(tmp_path, path="docs")
    assert read_from(tmp_path, entry, path="docs") == b"text"


def test_names_that_are_no_utf8_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 100%.md")
    (tmp_path / name).write_text("coffee")
    (entry,) = entries_of(tmp_path, path=".")
    assert (entry.uri, entry.path) == ("path:caf%E9 100%25.md", "caf\ufffd 100%.md")
    assert read_from(tmp_path, entry, path=".") == b"coffee"


def test_pipes_sockets_and_devices_are_never_opened(tmp_path: Path) -> None:
    write(tmp_path, "docs/a.md")
    os.mkfifo(tmp_path / "docs/pipe.md")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "docs/socket.md"))
        (tmp_path / "docs/link.md").symlink_to("pipe.md")
        assert paths(tmp_path, path="docs") == ["docs/a.md"]
    with pytest.raises(DocumentRefused, match="no plain file"):
        read_from(tmp_path, Entry(uri="path:docs/pipe.md", path="docs/pipe.md"), path="docs")
    with pytest.raises(SourceUnreadable, match="neither a file nor a folder"):
        entries_of(tmp_path, path="docs/pipe.md")
    with pytest.raises(SourceUnreadable, match="neither a file nor a folder"):
        entries_of(tmp_path, path=os.devnull)


def test_a_file_that_is_gone_or_too_large_is_refused_alone(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b.md", text="12345")
    a, b = entries_of(tmp_path, path=".")
    (tmp_path / "a.md").unlink()
    with pytest.raises(DocumentRefused, match=r"a\.md is no longer there") as gone:
        read_from(tmp_path, a, path=".")
    with pytest.raises(DocumentRefused, match=r"b\.md is larger than") as large:
        read_from(tmp_path, b, path=".", limit_bytes=4)
    assert (gone.value.code, large.value.code) == ("gone", "too_large")
    assert read_from(tmp_path, b, path=".", limit_bytes=5) == b"12345"


def test_a_file_without_permission_is_refused_and_a_folder_makes_the_source_unreadable(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "closed/b.md")
    (tmp_path / "a.md").chmod(0)
    if os.access(tmp_path / "a.md", os.R_OK):
        pytest.skip("this user may read everything")
    entry, _ = entries_of(tmp_path, path=".")
    with pytest.raises(DocumentRefused, match=r"a\.md cannot be read: Permission denied"):
        read_from(tmp_path, entry, path=".")
    (tmp_path / "closed").chmod(0)
    try:
        with pytest.raises(SourceUnreadable, match=r"closed cannot be listed: Permission denied"):
            entries_of(tmp_path, path=".")
        assert paths(tmp_path, path=".", exclude=["closed"]) == ["a.md"]
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_a_place_that_is_not_there_is_unreadable_and_an_empty_folder_is_not(tmp_path: Path) -> None:
    for path in ("none", "none/*.md", "none/a.md"):
        with pytest.raises(SourceUnreadable, match="cannot be looked at: No such file"):
            entries_of(tmp_path, path=path)
    (tmp_path / "empty").mkdir()
    assert entries_of(tmp_path, path="empty") == []


def test_more_documents_than_declared_are_unreadable(tmp_path: Path) -> None:
    write(tmp_path, *(f"docs/{number}.md" for number in range(3)))
    assert len(paths(tmp_path, path="docs", max_documents=3)) == 3
    with pytest.raises(SourceUnreadable, match="path docs has more than 2 documents") as refused:
        entries_of(tmp_path, path="docs", max_documents=2)
    assert "max_documents" in (refused.value.hint or "")


def test_what_lies_three_hundred_folders_deep_is_listed_and_read(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(300):
        folder = folder / "deeper"
        folder.mkdir()
    (folder / "a.md").write_text("deep")
    (entry,) = entries_of(tmp_path, path=".")
    assert read_from(tmp_path, entry, path=".") == b"deep"


def test_a_file_uri_is_read_as_a_path_is(tmp_path: Path) -> None:
    write(tmp_path, "docs/a.md", "secret.md")
    (tmp_path / "docs/link.md").symlink_to("../secret.md")
    (entry,) = entries_of(tmp_path, uri=f"file://{tmp_path}/docs")
    assert entry.uri == f"path:{tmp_path}/docs/a.md"
    assert read_from(tmp_path, entry, uri=f"file://{tmp_path}/docs") == b"text"
