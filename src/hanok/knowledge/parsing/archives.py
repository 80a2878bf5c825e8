"""Zip archives, which most office formats are: whether what is in them may be unpacked at all.

Everything is judged by the directory of the archive, before anything is unpacked; archives within are opened (their
sizes are known by then) and judged the same. A directory that lies is caught by the limit on memory and time.
"""

from __future__ import annotations

import io
import zipfile
import zlib

from hanok.knowledge.parsing.refusals import MIB, refused

MOST_MEMBERS = 10_000
MOST_RATIO = 200
"""Deflate shrinks zeros 1,032-fold at best, and XML of spreadsheets some 20 to 60-fold."""
RATIO_COUNTS_FROM = 8 * MIB
DEEPEST = 3
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")


def ensure_unpackable(path: str, data: bytes, *, most_unpacked: int) -> None:
    """Raise `DocumentRefused` for what is damaged, encrypted, or would unpack to more than that many bytes."""
    if data.startswith(_OLE):
        raise _ole(path, data)
    _unpacked_size(path, data, most_unpacked, depth=1)


def _ole(path: str, data: bytes) -> Exception:
    """Office keeps encrypted documents, and those of before 2007, in a container of its own."""
    if _ENCRYPTED_PACKAGE in data:
        return refused("encrypted", f"{path} is encrypted", hint="save it without a password")
    return refused("unknown_format", f"{path} is in the format of before 2007", hint="save it as .docx, .pptx or .xlsx")


def _unpacked_size(path: str, data: bytes, most: int, *, depth: int) -> int:
    if depth > DEEPEST:
        raise _bomb(path, f"archives lie {depth} deep in each other")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            total = _ensure_sizes(path, archive.infolist(), most)
            for member in archive.infolist():
                if member.file_size >= 4 and _is_zip(archive, member):
                    total += _unpacked_size(path, archive.read(member), most - total, depth=depth + 1)
                    _ensure_total(path, total, most)
            return total
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError, ValueError, zlib.error) as error:
        raise refused("damaged", f"{path} is damaged: {error}", hint="open it and save it again") from error


def _ensure_sizes(path: str, members: list[zipfile.ZipInfo], most: int) -> int:
    if len(members) > MOST_MEMBERS:
        raise _bomb(path, f"it has {len(members)} files in it")
    if any(member.flag_bits & 0x1 for member in members):
        raise refused("encrypted", f"{path} is encrypted", hint="save it without a password")
    for member in members:
        if member.file_size > max(RATIO_COUNTS_FROM, member.compress_size * MOST_RATIO):
            raise _bomb(path, f"{member.filename} in it unpacks to {member.file_size / MIB:.0f} MiB")
    total = sum(member.file_size for member in members)
    _ensure_total(path, total, most)
    return total


def _ensure_total(path: str, total: int, most: int) -> None:
    if total > most:
        raise _bomb(
            path, f"it unpacks to {total / MIB:.0f} MiB", hint="raise parse.memory_mib, of which half is for that"
        )


def _is_zip(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    with archive.open(member) as file:
        return file.read(4) == b"PK\x03\x04"


def _bomb(path: str, how: str, hint: str = "leave it out, or save it anew") -> Exception:
    return refused("zip_bomb", f"{path} is not unpacked: {how}", hint=hint)
