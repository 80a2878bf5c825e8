"""Processes: `git`, which fetches one commit of a repository and tells what is in it.

The state folder keeps a bare repository for each that is declared: one commit deep, without files that nobody would
read. An unchanged repository costs one `git ls-remote`. Nothing is ever checked out: files are read from git's own
store, so links, submodules, hooks, filters and attributes of a repository mean nothing here. What git may do besides
is set by its environment: no prompts, no hooks, no transports that run programs.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from posixpath import join

from hanok.errors import DocumentRefused, SourceUnreadable
from hanok.knowledge.sources.choice import Choice
from hanok.knowledge.sources.listing import Surroundings, entry_of, hand_over, place_of, too_large
from hanok.knowledge.sources.names import show, spell
from hanok.knowledge.values import Entry
from hanok.spec import Source
from hanok.web.place import without_password

LIST_S, FETCH_S, READ_S = 60.0, 1800.0, 60.0
_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BAD_REF = re.compile(r"^[-/.]|\.\.|@\{|[\x00-\x20\x7f~^:?*\[\\]|[/.]$|\.lock$|//")
_HOST_AND_PATH = re.compile(r"(?:[\w.-]+@)?[\w.-]+:(?!/?/).+")
_SCHEMES = ("https://", "http://", "ssh://", "file://")
_FILE_MODES = ("100644", "100755")
_ONLINE = ("ls-remote", "fetch")
_POINTER = b"version https://git-lfs.github.com/spec/"
_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.askPass": "",
    "gc.autoDetach": "false",
    "maintenance.autoDetach": "false",
    "fetch.recurseSubmodules": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
    "protocol.version": "2",
    "transfer.bundleURI": "false",
    "advice.detachedHead": "false",
}
_QUIET = {
    "GIT_ALLOW_PROTOCOL": "https:http:ssh:file",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "SSH_ASKPASS_REQUIRE": "never",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=10",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",
}


class Repository:
    """A commit of a repository. A file's version is its blob's id.

    Raises `SourceUnreadable` when git is not installed, or the place or ref is none that it may be given.
    """

    def __init__(self, source: Source, around: Surroundings) -> None:
        self._source = source
        self._place = _checked_place(source.place, around.folder)
        self._ref = _checked_ref(source.ref)
        self._below = source.subfolder.strip("/")
        self._largest_bytes = around.largest_bytes
        self._choice = Choice(include=source.include, exclude=source.exclude, known=around.known)
        kept = hashlib.sha256(self._place.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._cache = around.state / "knowledge" / "git" / kept
        self._kept_ref = f"refs/hanok/{hashlib.sha256((self._ref or '').encode()).hexdigest()[:16]}"
        if shutil.which("git") is None:
            raise SourceUnreadable("git is not installed, or not on the PATH", hint="install git, or copy the files")

    async def entries(self) -> AsyncIterator[Entry]:
        """The files of the commit. Raises `SourceUnreadable` when it cannot be fetched, or has no such subfolder."""
        async for entry in hand_over(self._source, self._list()):
            yield entry

    async def read(self, entry: Entry, limit_bytes: int) -> bytes:
        """A file's bytes, of the commit that was listed."""
        return await asyncio.to_thread(self._read, entry, limit_bytes)

    async def aclose(self) -> None:
        """Nothing is held: what was fetched stays for the next time."""

    def _list(self) -> Iterator[Entry]:
        commit = self._fetched()
        for path, blob in self._tree(commit):
            if self._choice.takes(path):
                yield self._entry(join(self._below, path), blob)

    def _fetched(self) -> str:
        """The commit, once the cache has it."""
        with _locked(self._cache):
            self._prepare()
            wanted, remote_ref = self._resolve()
            if self._kept() != wanted:
                self._fetch(remote_ref)
            return self._kept() or wanted

    def _resolve(self) -> tuple[str, str]:
        """The commit that is wanted now, and what to ask the repository for."""
        if self._ref and _OBJECT.fullmatch(self._ref):
            return self._ref, self._ref
        names = _names_of(self._ref)
        told = self._git("ls-remote", "--", "origin", *names, *(f"{name}^{{}}" for name in names), limit_s=LIST_S)
        lines = [line.partition("\t") for line in told.decode("utf-8", "replace").splitlines()]
        there = {name: commit for commit, _, name in lines}
        for name in names:
            if name in there:
                return there.get(f"{name}^{{}}", there[name]), name
        what = f"no branch or tag {self._ref!r}" if self._ref else "no commits"
        raise SourceUnreadable(f"the repository {place_of(self._source)} has {what}", hint="correct its `ref`")

    def _kept(self) -> str:
        """The commit in the cache; "" when there is none."""
        try:
            found = self._git("rev-parse", "--verify", "--quiet", f"{self._kept_ref}^{{commit}}", limit_s=READ_S)
        except SourceUnreadable:
            return ""
        return found.decode().strip()

    def _fetch(self, remote_ref: str) -> None:
        try:
            self._fetch_once(remote_ref)
        except SourceUnreadable:
            shutil.rmtree(self._cache, ignore_errors=True)  # the repository did answer: perhaps a fetch was killed
            self._prepare()
            self._fetch_once(remote_ref)

    def _prepare(self) -> None:
        if not (self._cache / "HEAD").exists():
            self._git("init", "--bare", "--quiet", "--template=", limit_s=READ_S)

    def _fetch_once(self, remote_ref: str) -> None:
        few = ("--depth=1", f"--filter=blob:limit={self._largest_bytes + 1}")
        plain = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--force", "--quiet")
        self._git("fetch", *few, *plain, "--", "origin", f"+{remote_ref}:{self._kept_ref}", limit_s=FETCH_S)

    def _tree(self, commit: str) -> Iterator[tuple[str, str]]:
        """Path, below the subfolder, and blob of every plain file."""
        told = self._git("ls-tree", "-r", "-z", "--full-tree", f"{commit}:{self._below}", limit_s=LIST_S)
        for line in told.split(b"\0"):
            about, _, path = line.partition(b"\t")
            mode, _kind, blob = about.decode().split(" ") if about else ("", "", "")
            if mode in _FILE_MODES:
                yield os.fsdecode(path), blob

    def _entry(self, path: str, blob: str) -> Entry:
        ref = f"@{self._ref}" if self._ref else ""
        uri = f"git:{place_of(self._source)}{ref}:{spell(path)}"
        return entry_of(self._source, uri=uri, path=show(path), version=blob)

    def _read(self, entry: Entry, limit_bytes: int) -> bytes:
        if not _OBJECT.fullmatch(entry.version):
            raise DocumentRefused(f"{entry.path} has no blob", code="unreadable")
        try:
            data = self._blob(entry.version, limit_bytes)
        except SourceUnreadable as error:
            raise DocumentRefused(f"{entry.path} cannot be read: {error}", code="unreadable") from None
        if data is None:
            raise too_large(entry.path, limit_bytes)
        if data.startswith(_POINTER):
            raise DocumentRefused(f"{entry.path} is kept in Git LFS, which is not fetched", code="unreadable")
        return data

    def _blob(self, blob: str, limit_bytes: int) -> bytes | None:
        """The blob's bytes; None when they are more, so that the fetch left them out or reading them would be much."""
        try:
            told = self._git("cat-file", "-s", blob, limit_s=READ_S)
        except SourceUnreadable as error:
            if "promisor" in error.message:
                return None
            raise
        return None if int(told) > limit_bytes else self._git("cat-file", "blob", blob, limit_s=READ_S)

    def _git(self, *arguments: str, limit_s: float) -> bytes:
        """What git says. Raises `SourceUnreadable` when it fails, in its own words."""
        try:
            done = subprocess.run(
                ["git", *arguments],
                cwd=self._cache.parent,
                env=self._environment(online=arguments[0] in _ONLINE),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=limit_s,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SourceUnreadable(
                f"git {arguments[0]} of {place_of(self._source)} failed: {self._hide(error)}"
            ) from None
        if done.returncode:
            why = self._hide(done.stderr.decode("utf-8", "replace").strip() or f"exit {done.returncode}")
            raise self._failed(arguments[0], why)
        return done.stdout

    def _failed(self, verb: str, why: str) -> SourceUnreadable:
        return SourceUnreadable(f"git {verb} of {place_of(self._source)} failed: {why}")

    def _hide(self, words: object) -> str:
        return str(words).replace(self._place, place_of(self._source))

    def _environment(self, *, online: bool) -> dict[str, str]:
        """Its own, without what others set for git. The place goes this way, since arguments are seen by everyone."""
        settings = {**_SETTINGS, "remote.origin.url": self._place}
        numbered = {"GIT_CONFIG_COUNT": str(len(settings)), "GIT_DIR": str(self._cache)}
        for number, (name, value) in enumerate(settings.items()):
            numbered |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        if not online:  # a file that was not fetched is not fetched now either
            numbered["GIT_ALLOW_PROTOCOL"] = "none"
        own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        return {**own, **_QUIET, **numbered}


def _checked_place(place: str, folder: Path) -> str:
    """What git is given as the repository: a URL, or an absolute path. Raises `SourceUnreadable` for all else."""
    if place.startswith(_SCHEMES):
        return place
    if "::" not in place and not place.startswith("-"):
        if (folder / place).is_dir():
            return str((folder / place).absolute())
        if _HOST_AND_PATH.fullmatch(place):
            return place
    message = f"{without_password(place)!r} is no repository that can be asked"
    raise SourceUnreadable(message, hint="name an https, ssh or file URL, `user@host:path`, or a folder that is there")


def _checked_ref(ref: str | None) -> str | None:
    """Raises `SourceUnreadable` when git could take it for an option, a pattern or more than one ref."""
    if ref is not None and (not ref or _BAD_REF.search(ref)):
        raise SourceUnreadable(f"{ref!r} is no ref of git", hint="name a branch, a tag, or a commit by its full id")
    return ref


def _names_of(ref: str | None) -> tuple[str, ...]:
    """What a ref may be called in full, the likeliest first."""
    if ref is None or ref == "HEAD":
        return ("HEAD",)
    return (ref,) if ref.startswith("refs/") else (f"refs/heads/{ref}", f"refs/tags/{ref}")


@contextmanager
def _locked(cache: Path) -> Generator[None]:
    """One process at a time fetches into a cache."""
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        file = cache.with_suffix(".lock").open("w")
    except OSError as error:
        message = f"{cache.parent}, where repositories are kept, cannot be written: {error.strerror}"
        raise SourceUnreadable(message, hint="`state` in platform.yaml says where the state folder is") from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
