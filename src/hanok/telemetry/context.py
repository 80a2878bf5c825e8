"""W3C trace context: whose trace a call belongs to, and what its own span is called.

Format: https://www.w3.org/TR/trace-context/. This runs on every call, so a header is not taken apart to be checked:
with every hex digit written as 0, a good one equals `00-0…0-0…0-00`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec

from hanok.wire import Caller

_HEX = b"0123456789abcdef"
_PRINTABLE = bytes(range(0x20, 0x7F))
_DIGITS_TO_ZERO = bytes.maketrans(_HEX, b"0" * 16)
_SHAPE = b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00"
_LENGTH = len(_SHAPE)
_DASH = 0x2D
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16
_SAMPLED_DIGITS = "13579bdf"
_NOT_ZERO = 1 << 64 | 1
_RANDOM_PART = 2**56
STATE_LIMIT_BYTES = 512


class TraceStart(msgspec.Struct, frozen=True, kw_only=True):
    """What a call's `Caller` takes over: `trace`, the `traceparent` to hand on, which names this call's own span;
    `parent_span`, 16 hex digits, None at the root; `trace_state`, None when there is none worth handing on. All are
    None for a call without a trace."""

    trace: str | None = None
    parent_span: str | None = None
    trace_state: str | None = None


NO_TRACE = TraceStart()
Trace = Callable[[bytes | None, bytes | None], TraceStart]
"""From the `traceparent` and `tracestate` that came in to the trace that the call belongs to."""


def in_child_span(caller: Caller, trace: Trace) -> Caller:
    """The same caller for a call that a call of theirs makes: in a span of its own, below that of the call."""
    if caller.trace is None:
        return caller
    state = caller.trace_state
    begun = trace(caller.trace.encode("ascii"), state.encode("ascii") if state else None)
    return msgspec.structs.replace(caller, trace=begun.trace, parent_span=begun.parent_span)


def in_span_below(caller: Caller, name: str) -> Caller:
    """The same caller in the span of that name, below the one that they are in.

    A name always gives the same span of a trace: whoever goes on with what another process began goes on in its span.
    """
    trace = caller.trace
    if trace is None:
        return caller
    return msgspec.structs.replace(caller, trace=_named(trace, name), parent_span=trace[36:52])


def in_span_beside(caller: Caller, name: str, trace: Trace) -> Caller:
    """The same caller in the span of that name, which takes the place of their call's own; in a trace that `trace`
    begins where they have none."""
    if caller.trace is not None:
        return msgspec.structs.replace(caller, trace=_named(caller.trace, name))
    begun = trace(None, None).trace
    return caller if begun is None else msgspec.structs.replace(caller, trace=_named(begun, name), parent_span=None)


def _named(trace: str, name: str) -> str:
    return f"{trace[:36]}{hashlib.sha256(name.encode()).hexdigest()[:16]}{trace[52:]}"


def hand_on(traceparent: bytes | None, trace_state: bytes | None) -> TraceStart:
    """The caller's trace as it came, where no spans of ours are made."""
    if traceparent is None or not is_traceparent(traceparent):
        return NO_TRACE
    state = _fit_state(trace_state) if trace_state else None
    return TraceStart(trace=traceparent.decode("ascii", "replace"), trace_state=state)


def continue_trace(
    traceparent: bytes | None,
    trace_state: bytes | None = None,
    *,
    random_bits: Callable[[int], int],
    sample: float,
) -> TraceStart:
    """Continue the caller's trace, or begin one where `traceparent` is missing or not valid.

    The caller's own sampled flag wins. A new trace is sampled by its own random bits, as OpenTelemetry's samplers do
    (`sample` is a share, 0 to 1), so that others who look at the same trace decide alike.
    `random_bits(n)` gives a number of n bits, as `random.getrandbits` does.
    """
    if traceparent is None or not is_traceparent(traceparent):
        return TraceStart(trace=_new_trace(random_bits, sample))
    text = traceparent.decode("ascii", "replace")
    span = (random_bits(64) | 1).to_bytes(8, "big").hex()
    return TraceStart(
        trace=f"00-{text[3:35]}-{span}-{'01' if text[54] in _SAMPLED_DIGITS else '00'}",
        parent_span=text[36:52],
        trace_state=_fit_state(trace_state) if trace_state else None,
    )


def is_traceparent(header: bytes) -> bool:
    """Whether the header is valid: exactly so in version 00, and so far as it is known in later ones; never in ff."""
    if len(header) == _LENGTH:
        return _is_well_formed(header)
    later = len(header) > _LENGTH and header[_LENGTH] == _DASH and not header.startswith(b"00")
    return later and _is_well_formed(header[:_LENGTH])


def _is_well_formed(head: bytes) -> bool:
    return (
        head.translate(_DIGITS_TO_ZERO) == _SHAPE
        and head[3:35] != _NO_TRACE
        and head[36:52] != _NO_SPAN
        and not head.startswith(b"ff")
    )


def is_sampled(trace: str) -> bool:
    """Whether the trace that this `traceparent` belongs to is to be recorded."""
    return trace[-1:] in _SAMPLED_DIGITS


def _new_trace(random_bits: Callable[[int], int], sample: float) -> str:
    bits = random_bits(192) | _NOT_ZERO
    sampled = sample >= 1.0 or (bits >> 64) % _RANDOM_PART >= (1.0 - sample) * _RANDOM_PART
    text = bits.to_bytes(24, "big").hex()
    return f"00-{text[:32]}-{text[32:]}-{'01' if sampled else '00'}"


def _fit_state(trace_state: bytes) -> str | None:
    """The state as it came, or None: what is no header text, or longer than others must carry, is not handed on."""
    if len(trace_state) > STATE_LIMIT_BYTES or trace_state.translate(None, _PRINTABLE):
        return None
    return trace_state.decode("ascii")
