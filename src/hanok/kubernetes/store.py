"""The tree on disk: written file by file, each as a whole; what we wrote before and is no more, is removed.

A folder below with a guide of its own is another tree, and left alone, as is whatever is hidden.
One writes at a time, and nothing is followed out of the folder: a link is never ours.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hanok.errors import StartError
from hanok.kubernetes.guide import PATH as GUIDE
from hanok.kubernetes.lock import Pin
from hanok.kubernetes.writing import HEADER, MARKDOWN_HEADER, as_yaml

LOCK_HEADER = "# The versions that this platform is rendered with. `hanok render --update-lock` takes newer ones.\n"
_UNFINISHED = ".hanok-"
_FIRST = (HEADER.encode(), MARKDOWN_HEADER.encode())


def read_tree(folder: Path) -> dict[str, str]:
    """The files of ours that are there, by path. Raises `StartError` for a folder that cannot be read."""
    try:
        return {path: data.decode("utf-8", "replace") for path, data in _ours(folder)}
    except OSError as error:
        raise StartError(f"{folder} cannot be read: {error.strerror}", hint="name another folder") from None


def write_tree(files: Mapping[str, str], folder: Path, *, force: bool = False) -> None:
    """Write the files; remove ours that are not among them. Others' files stay.

    Raises `StartError` where a file stands in the way that is not ours, unless `force`, or nothing can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            _refuse_links(files, folder)
            before = dict(_ours(folder))
            if not force:
                _refuse_others(files.keys() - before.keys(), folder)
            for path, text in files.items():
                _write(folder / path, text.encode(), before.get(path))
            _remove_others(before.keys() - files.keys(), folder)
    except OSError as error:
        raise StartError(f"{folder} cannot be written: {error.strerror}", hint="name another with --out") from None


def write_lock(file: Path, pins: Mapping[str, Pin]) -> None:
    """Write the versions that a tree was rendered with. Raises `StartError`."""
    body = {
        name: pin.model_dump(exclude_unset=True, exclude={"api"} if not pin.api else None) for name, pin in pins.items()
    }
    try:
        before = file.read_bytes() if file.is_file() and not file.is_symlink() else None
        _write(file, (LOCK_HEADER + as_yaml(body)).encode(), before)
    except OSError as error:
        raise StartError(f"{file} cannot be written: {error.strerror}", hint="look at its permissions") from None


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Until the one before is done; the lock goes with its process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _refuse_links(files: Mapping[str, str], folder: Path) -> None:
    """A folder in the tree that is a link would lead what is written somewhere else."""
    folders = {Path(each.rpartition("/")[0]) for each in files}
    for path in sorted({parent for each in folders for parent in (each, *each.parents)}):
        if path != Path() and (folder / path).is_symlink():
            message = f"{folder / path} is a link to somewhere else"
            raise StartError(message, hint="remove it, or name another folder with --out")


def _remove_others(gone: Iterable[str], folder: Path) -> None:
    """Ours that are not in the tree any more, and what a run that was killed left behind."""
    left = [each for each in folder.rglob(f"{_UNFINISHED}*") if each.is_file()]
    for path in [*(folder / each for each in gone), *left]:
        path.unlink(missing_ok=True)
        _tidy(path.parent, folder)


def _refuse_others(files: Iterable[str], folder: Path) -> None:
    for path in sorted(files):
        if os.path.lexists(folder / path) and not _is_ours(folder / path):
            message = f"{folder / path} was not rendered by Hanok"
            raise StartError(message, hint="name another folder with --out, or write over it with --force")


def _ours(folder: Path, above: str = "") -> Iterator[tuple[str, bytes]]:
    """Our files of this tree, by path."""
    for each in sorted(folder.iterdir()) if folder.is_dir() else ():
        if each.is_file():
            if (data := _read_ours(each)) is not None:
                yield above + each.name, data
        elif not each.name.startswith(".") and not each.is_symlink() and not _is_ours(each / GUIDE):
            yield from _ours(each, f"{above}{each.name}/")


def _is_ours(path: Path) -> bool:
    return _read_ours(path) is not None


def _read_ours(path: Path) -> bytes | None:
    """What is in a file of ours; None where it is not ours."""
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as handle:
        head = handle.read(max(map(len, _FIRST)))
        return head + handle.read() if head.startswith(_FIRST) else None


def _write(path: Path, data: bytes, before: bytes | None) -> None:
    """As a whole or not at all; what is the same is left alone."""
    if data == before:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _tidy(folder: Path, root: Path) -> None:
    """Remove folders that have become empty."""
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
