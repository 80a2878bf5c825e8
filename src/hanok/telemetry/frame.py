"""What every span has, whatever it tells of: ids, times, a kind, and how it ended.

Format: message `Span` of `opentelemetry/proto/trace/v1/trace.proto`, opentelemetry-proto 1.x.
"""

from __future__ import annotations

import struct

from hanok.telemetry.protobuf import field, utf8
from hanok.wire import Caller

CLIENT, INTERNAL = b"\x30\x03", b"\x30\x01"
_ERROR = b"\x18\x02"
_FLAGS = b"\x85\x01"
_SAMPLED_ROOT = _FLAGS + struct.pack("<I", 0x101)
_SAMPLED_CHILD = _FLAGS + struct.pack("<I", 0x301)  # of a parent that is known to be another process's
_times = struct.Struct("<BQBQ").pack
_START, _END = 0x39, 0x41


def identity(caller: Caller, *, own_parent: bool = False) -> bytes:
    """The ids of the span that this caller is in. `own_parent` says that the span above is one of ours, too.

    Raises `ValueError` when `caller.trace` is no `traceparent`.
    """
    trace, parent = caller.trace or "", caller.parent_span
    above = f"2208{parent}" if parent else ""
    ids = bytes.fromhex(f"0a10{trace[3:35]}1208{trace[36:52]}{above}")
    if len(ids) != (38 if parent else 28):
        raise ValueError("the call's trace is no traceparent")
    if caller.trace_state:
        ids += field(3, utf8(caller.trace_state))
    return ids + (_SAMPLED_CHILD if parent and not own_parent else _SAMPLED_ROOT)


def nanoseconds(at: float) -> int:
    """Unix seconds as nanoseconds; whole microseconds, as a float of seconds holds no more."""
    return int(at * 1e6) * 1000


def times(start: int, end: int) -> bytes:
    """Beginning and end, in Unix nanoseconds."""
    return _times(_START, start, _END, end)


def failure(error: str) -> bytes:
    """The status of what failed."""
    return field(15, field(2, utf8(error)) + _ERROR)
