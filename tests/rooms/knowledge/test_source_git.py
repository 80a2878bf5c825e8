"""Documents in repositories: `git`."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hanok.errors import DocumentRefused, SourceUnreadable
from hanok.knowledge.sources.git_launch import Repository
from hanok.knowledge.values import Entry
from tests.rooms.knowledge.opening import around, entries_of, read_from, source_of, write

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


class Origin:
    """A repository with one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "uploadpack.allowFilter", "true")
        self.commit("a.md", text="one")

    def git(self, *arguments: str) -> str:
        own = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgSign=false")
        done = subprocess.run(["git", *own, *arguments], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, *paths: str, text: str = "text") -> str:
        write(self.folder, *paths, text=text)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--message=more")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origin")


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `git` on the PATH that notes its verbs in this file, and does the work."""
    folder, notes = tmp_path / "bin", tmp_path / "notes"
    folder.mkdir()
    program = folder / "git"
    program.write_text(f'#!/bin/sh\necho "$1" >> "{notes}"\nexec "{shutil.which("git")}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return notes


def paths(folder: Path, **declared: Any) -> list[str]:
    return [entry.path for entry in entries_of(folder, **declared)]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_repositorys_files_are_listed_and_read(origin: Origin, tmp_path: Path, scheme: str) -> None:
    origin.commit("docs/한국 어.md", "docs/deep/b.md", text="two")
    place = f"{scheme}{origin.folder}"
    entries = entries_of(tmp_path, git=place, team="red", metadata={"x": 1}, type="text")
    assert [entry.path for entry in entries] == ["a.md", "docs/deep/b.md", "docs/한국 어.md"]
    blob = origin.git("rev-parse", "HEAD:a.md")
    assert entries[0] == Entry(
        uri=f"git:{place}:a.md", path="a.md", version=blob, type="text", reader="red", metadata={"x": 1}
    )
    assert [read_from(tmp_path, entry, git=place) for entry in entries] == [b"one", b"two", b"two"]


def test_a_folder_beside_the_platform_file_is_a_repository_too(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "platform").mkdir()
    (entry,) = entries_of(tmp_path / "platform", git="../origin")
    assert entry.uri == "git:../origin:a.md"


def test_an_unchanged_repository_costs_one_question(origin: Origin, tmp_path: Path, counted: Path) -> None:
    first = entries_of(tmp_path, git=f"file://{origin.folder}")
    assert counted.read_text().split().count("fetch") == 1
    counted.write_text("")
    assert entries_of(tmp_path, git=f"file://{origin.folder}") == first
    asked = counted.read_text().split()
    assert (asked.count("ls-remote"), asked.count("fetch")) == (1, 0)


def test_a_new_commit_is_fetched_and_changes_the_versions_of_what_changed(origin: Origin, tmp_path: Path) -> None:
    origin.commit("b.md")
    before = {entry.path: entry.version for entry in entries_of(tmp_path, git=str(origin.folder))}
    origin.commit("a.md", text="changed")
    (origin.folder / "b.md").rename(origin.folder / "c.md")
    origin.commit()
    after = {entry.path: entry.version for entry in entries_of(tmp_path, git=str(origin.folder))}
    assert set(after) == {"a.md", "c.md"}
    assert after["a.md"] != before["a.md"]
    assert after["c.md"] == before["b.md"]


def test_a_history_that_was_written_anew_is_followed(origin: Origin, tmp_path: Path) -> None:
    origin.commit("b.md")
    assert paths(tmp_path, git=str(origin.folder)) == ["a.md", "b.md"]
    origin.git("reset", "--quiet", "--hard", "HEAD~1")
    origin.commit("c.md")
    assert paths(tmp_path, git=str(origin.folder)) == ["a.md", "c.md"]


def test_a_ref_is_a_branch_a_tag_or_a_commit(origin: Origin, tmp_path: Path) -> None:
    first = origin.git("rev-parse", "HEAD")
    origin.git("tag", "plain")
    origin.git("tag", "--annotate", "--message=m", "v1")
    origin.git("switch", "--quiet", "--create", "feature/한국")
    origin.commit("branch.md")
    origin.git("switch", "--quiet", "main")
    origin.commit("main.md")
    found = {"plain": ["a.md"], "v1": ["a.md"], first: ["a.md"], "refs/tags/v1": ["a.md"], "main": ["a.md", "main.md"]}
    found |= {"feature/한국": ["a.md", "branch.md"], "HEAD": ["a.md", "main.md"]}
    for ref, files in found.items():
        entries = entries_of(tmp_path, git=str(origin.folder), ref=ref)
        assert [entry.uri for entry in entries] == [f"git:{origin.folder}@{ref}:{file}" for file in files]
        assert paths(tmp_path, git=str(origin.folder), ref=ref) == files


def test_a_commit_that_is_kept_is_not_even_asked_for(origin: Origin, tmp_path: Path) -> None:
    commit, place = origin.git("rev-parse", "HEAD"), str(origin.folder)
    assert paths(tmp_path, git=place, ref=commit) == ["a.md"]
    shutil.rmtree(origin.folder / ".git")
    assert paths(tmp_path, git=place, ref=commit) == ["a.md"]


def test_only_what_lies_below_the_subfolder_is_taken(origin: Origin, tmp_path: Path) -> None:
    origin.commit("docs/a.md", "docs/old/b.md", "docs-too/c.md", "docs/.hidden/d.md", "docs/e.txt")
    declared: dict[str, Any] = {"git": str(origin.folder), "subfolder": "docs/"}
    assert paths(tmp_path, **declared) == ["docs/a.md", "docs/e.txt", "docs/old/b.md"]
    assert paths(tmp_path, **declared, include=["/*.md"]) == ["docs/a.md"]
    assert paths(tmp_path, **declared, exclude=["old/"], known=lambda path: path.endswith(".md")) == ["docs/a.md"]
    assert paths(tmp_path, **declared, include=[".hidden/**"]) == ["docs/.hidden/d.md"]


@pytest.mark.parametrize("subfolder", ["none", "a.md", "../origin", "--help"])
def test_a_subfolder_that_is_not_there_is_unreadable(origin: Origin, tmp_path: Path, subfolder: str) -> None:
    with pytest.raises(SourceUnreadable, match="git ls-tree"):
        entries_of(tmp_path, git=str(origin.folder), subfolder=subfolder)


def test_links_and_submodules_are_not_followed(origin: Origin, tmp_path: Path) -> None:
    (origin.folder / "link.md").symlink_to("/etc/passwd")
    (origin.folder / "inside.md").symlink_to("a.md")
    commit = origin.commit("b.md")
    origin.git("update-index", "--add", "--cacheinfo", f"160000,{commit},module")
    (origin.folder / ".gitmodules").write_text(f'[submodule "m"]\n\tpath = module\n\turl = {origin.folder}\n')
    origin.git("add", ".gitmodules")
    origin.git("commit", "--quiet", "--message=module")
    assert paths(tmp_path, git=str(origin.folder)) == ["a.md", "b.md"]


def test_names_that_are_no_utf8_survive(origin: Origin, tmp_path: Path) -> None:
    (origin.folder / os.fsdecode(b"caf\xe9\n%.md")).write_text("coffee")
    origin.commit()
    entry = entries_of(tmp_path, git=str(origin.folder))[1]
    assert entry.uri.endswith(":caf%E9\n%25.md")
    assert read_from(tmp_path, entry, git=str(origin.folder)) == b"coffee"


def test_files_that_nobody_will_read_are_not_fetched_and_refused(origin: Origin, tmp_path: Path) -> None:
    origin.commit("large.md", text="x" * 5000)
    repository = {"git": f"file://{origin.folder}"}
    small = around(tmp_path, largest_bytes=1000)
    _, entry = entries_of(tmp_path, opened=lambda source, _: Repository(source, small), **repository)
    cache = next((tmp_path / ".hanok" / "knowledge" / "git").glob("*/HEAD")).parent
    missing = ["git", "rev-list", "--objects", "--missing=print", "--all"]
    told = subprocess.run(missing, cwd=cache, capture_output=True, text=True, check=True).stdout
    assert f"?{entry.version}" in told
    with pytest.raises(DocumentRefused, match=r"large\.md is larger than") as refused:
        read_from(tmp_path, entry, limit_bytes=1000, **repository)
    assert refused.value.code == "too_large"
    told = subprocess.run(missing, cwd=cache, capture_output=True, text=True, check=True).stdout
    assert f"?{entry.version}" in told


def test_a_file_beyond_the_limit_or_in_lfs_is_refused_alone(origin: Origin, tmp_path: Path) -> None:
    origin.commit("b.md", text="version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    a, b = entries_of(tmp_path, git=str(origin.folder))
    with pytest.raises(DocumentRefused, match=r"a\.md is larger than"):
        read_from(tmp_path, a, git=str(origin.folder), limit_bytes=2)
    with pytest.raises(DocumentRefused, match="Git LFS"):
        read_from(tmp_path, b, git=str(origin.folder))
    for version in ("", "HEAD", "--help", "0" * 40):
        with pytest.raises(DocumentRefused):
            read_from(tmp_path, Entry(uri="x", path="x", version=version), git=str(origin.folder))


def test_a_fetch_that_was_killed_is_begun_anew(origin: Origin, tmp_path: Path) -> None:
    assert paths(tmp_path, git=str(origin.folder)) == ["a.md"]
    cache = next((tmp_path / ".hanok" / "knowledge" / "git").glob("*/HEAD")).parent
    for left in ("shallow.lock", "config.lock", "HEAD.lock"):
        (cache / left).write_text("")
    shutil.rmtree(cache / "objects")
    origin.commit("b.md")
    assert paths(tmp_path, git=str(origin.folder)) == ["a.md", "b.md"]


def test_several_at_once_share_what_one_of_them_fetches(origin: Origin, tmp_path: Path, counted: Path) -> None:
    origin.commit(*(f"{number}.md" for number in range(50)))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: paths(tmp_path, git=f"file://{origin.folder}"), range(4)))
    assert [len(each) for each in found] == [51] * 4
    assert counted.read_text().split().count("fetch") == 1


def test_what_a_repository_would_run_is_not_run(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks of the template that others install, filters of attributes, and settings in the environment."""
    origin.commit(".gitattributes", text="*.md filter=evil\n")
    ran, template = tmp_path / "ran", tmp_path / "template"
    script = f"#!/bin/sh\ntouch {ran}\n"
    for place in (template / "hooks", origin.folder / ".git" / "hooks"):
        place.mkdir(parents=True, exist_ok=True)
        for hook in ("post-checkout", "post-merge", "reference-transaction", "pre-auto-gc", "post-index-change"):
            (place / hook).write_text(script)
            (place / hook).chmod(stat.S_IRWXU)
    (tmp_path / "evil").write_text(script)
    (tmp_path / "evil").chmod(stat.S_IRWXU)
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(template))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(tmp_path / "evil"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_UPLOAD_PACK", str(tmp_path / "evil"))
    assert paths(tmp_path, git=f"file://{origin.folder}") == ["a.md"]
    assert not ran.exists()


@pytest.mark.parametrize(
    "place",
    [
        "ext::sh -c 'touch ran'",
        "--upload-pack=touch ran",
        "fd::3",
        "git://example.com/x",
        "ftp://example.com/x",
        "none/here",
        "-x@host:path",
        "http::https://example.com/x",
        "transport::address",
    ],
)
def test_places_that_run_programs_or_are_none_are_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(SourceUnreadable, match="is no repository that can be asked"):
        entries_of(tmp_path, git=place)


@pytest.mark.parametrize(
    "ref", ["--upload-pack=x", "-x", "a b", "a..b", "a:b", "*", "a~1", "a^{tree}", "", "x\n", "@{u}"]
)
def test_refs_that_git_could_take_for_something_else_are_refused(origin: Origin, tmp_path: Path, ref: str) -> None:
    with pytest.raises(SourceUnreadable, match="is no ref of git"):
        entries_of(tmp_path, git=str(origin.folder), ref=ref)


def test_a_repository_or_ref_that_is_not_there_is_unreadable(origin: Origin, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match=r"has no branch or tag 'none'"):
        entries_of(tmp_path, git=str(origin.folder), ref="none")
    with pytest.raises(SourceUnreadable, match=r"git fetch .* failed"):
        entries_of(tmp_path, git=str(origin.folder), ref="0" * 40)
    with pytest.raises(SourceUnreadable, match=r"git ls-remote .* failed"):
        entries_of(tmp_path, git=f"file://{tmp_path}/none")
    with pytest.raises(SourceUnreadable, match=r"git ls-remote .* failed"):
        entries_of(tmp_path, git="https://127.0.0.1:1/x.git")
    origin.git("switch", "--quiet", "--orphan", "empty")
    with pytest.raises(SourceUnreadable, match="has no commits"):
        entries_of(tmp_path, git=str(origin.folder))


def test_a_password_in_a_url_is_neither_shown_nor_kept(tmp_path: Path) -> None:
    place = "https://robot:hunter2@127.0.0.1:1/x.git"
    with pytest.raises(SourceUnreadable) as refused:
        entries_of(tmp_path, git=place)
    assert "hunter2" not in str(refused.value)
    assert "https://127.0.0.1:1/x.git" in str(refused.value)
    kept = [path for path in (tmp_path / ".hanok").rglob("*") if path.is_file()]
    assert kept
    assert not any(b"hunter2" in path.read_bytes() for path in kept)


def test_more_files_than_declared_are_unreadable(origin: Origin, tmp_path: Path) -> None:
    origin.commit("b.md", "c.md")
    with pytest.raises(SourceUnreadable, match="has more than 2 documents"):
        entries_of(tmp_path, git=str(origin.folder), max_documents=2)


def test_a_state_folder_that_cannot_be_written_is_said(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / ".hanok").write_text("a file")
    with pytest.raises(SourceUnreadable, match="cannot be written"):
        entries_of(tmp_path, git=str(origin.folder))


def test_a_machine_without_git_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceUnreadable, match="git is not installed"):
        Repository(source_of(git=str(tmp_path)), around(tmp_path))
