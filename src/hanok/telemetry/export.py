"""Every finished call, and every deed of an agent, to every receiver, off the event loop's path.

`record` and `tell` append to a queue and return. One thread empties the queue, encodes each once, and offers the bytes
to every receiver; each receiver has a queue and a thread of its own (`client.py`). Encoding happens even while all
receivers are gone, so that what waits is a span of a kilobyte or so, and not a request with its whole prompt.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from hanok.spec import Telemetry
from hanok.telemetry.client import COMPLAIN_EVERY_S, Counts, Receiver
from hanok.telemetry.context import continue_trace, is_sampled
from hanok.telemetry.deeds import Deed, DeedEncoder
from hanok.telemetry.spans import Request, SpanEncoder
from hanok.wire import Charge

AT_ONCE = 16
"""Spans encoded before the event loop may have the interpreter again: a fifth of a millisecond or so."""

_log = logging.getLogger(__name__)
_Call = tuple[Charge, Request, bytes | None]


class Exporter:
    """Exports a span of every sampled call.

    `service` is the platform's name; `providers` gives each endpoint's provider (`provider_names`); `random_bits` is
    for calls that came without a trace. Raises `StartError` when a receiver's headers cannot be sent.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        service: str,
        providers: Mapping[str, str],
        random_bits: Callable[[int], int],
    ) -> None:
        self.wants_content = telemetry.content
        self._telemetry = telemetry
        self._random_bits = random_bits
        self._encoder = SpanEncoder(
            service=service,
            environment=telemetry.environment,
            names=telemetry.names,
            content=telemetry.content,
            providers=providers,
        )
        self._deeds = DeedEncoder(names=telemetry.names, content=telemetry.content)
        self._receivers = _receivers(telemetry, self._encoder)
        self._waiting: deque[_Call | Deed] = deque()
        self._limit = telemetry.queue
        self._batch = telemetry.batch
        self._no_room = self._not_encoded = 0
        self._quiet_until = 0.0
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)

    def start(self) -> None:
        """Start the threads. Once, in the process that records."""
        self._thread.start()
        for receiver in self._receivers:
            receiver.start()

    def record(self, charge: Charge, request: Request, content: bytes | None = None) -> None:
        """Export a call that is over, if its trace is sampled. Never waits, never raises.

        `content` is what was answered, as it was passed on: the body, or a stream's events; it is looked at only when
        `wants_content`.
        """
        trace = request.caller.trace
        if trace is None or is_sampled(trace):
            self._append((charge, request, content))

    def tell(self, deed: Deed) -> None:
        """Export a deed that is over, if its trace is sampled. Never waits, never raises."""
        trace = deed.caller.trace
        if trace is not None and is_sampled(trace):
            self._append(deed)

    def _append(self, what: _Call | Deed) -> None:
        waiting = len(self._waiting)
        if waiting >= self._limit:
            self._no_room += 1
            return
        self._waiting.append(what)
        if waiting + 1 == self._batch:
            self._wake.set()

    @property
    def counts(self) -> dict[str, Counts]:
        """What became of spans so far, by receiver."""
        waiting, no_room, not_encoded = len(self._waiting), self._no_room, self._not_encoded
        return {
            receiver.name: Counts(exported, dropped + no_room, failed + not_encoded, still + waiting)
            for receiver in self._receivers
            for exported, dropped, failed, still in [receiver.counts]
        }

    def close(self, timeout_s: float = 5.0) -> None:
        """Send what waits, in `timeout_s` seconds at most, and end the threads. What was not sent is counted."""
        if self._thread.ident is None:
            return  # nothing was ever started
        end = time.monotonic() + timeout_s
        self._limit = 0  # whoever still records is late
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout_s)
        for receiver in self._receivers:
            receiver.finish()
        for receiver in self._receivers:
            receiver.close(end - time.monotonic())

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._telemetry.every_s)
            self._wake.clear()
            self._pass_on()
        self._pass_on()

    def _pass_on(self) -> None:
        """Encode all that waits, and offer it to every receiver."""
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            spans = [span for each in some if (span := self._encode(each))]
            for receiver in self._receivers:
                receiver.offer(spans)
            time.sleep(0)  # gives the interpreter away: the event loop does not wait for a whole batch
        for receiver in self._receivers:
            receiver.send()

    def _encode(self, what: _Call | Deed) -> bytes:
        """One span; empty when the call is not sampled after all, or cannot be told as a span."""
        try:
            return self._deeds.encode(what) if isinstance(what, Deed) else self._encode_call(*what)
        except Exception as error:  # noqa: BLE001 - one odd call must not end the export of all others
            self._not_encoded += 1
            self._complain(f"{what.operation} {what.name}" if isinstance(what, Deed) else what[0].request_id, error)
            return b""

    def _encode_call(self, charge: Charge, request: Request, content: bytes | None) -> bytes:
        if request.caller.trace is None:
            request = self._begin_trace(request)
            if not is_sampled(request.caller.trace or ""):
                return b""
        return self._encoder.encode(charge, request, content)

    def _begin_trace(self, request: Request) -> Request:
        """A call that did not come through a door has no trace yet."""
        begun = continue_trace(None, random_bits=self._random_bits, sample=self._telemetry.sample)
        caller = msgspec.structs.replace(request.caller, trace=begun.trace, parent_span=None)
        return msgspec.structs.replace(request, caller=caller)

    def _complain(self, what: str, error: Exception) -> None:
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + COMPLAIN_EVERY_S
            _log.warning("the call %s cannot be told as a span: %s", what, type(error).__name__)


def _receivers(telemetry: Telemetry, encoder: SpanEncoder) -> list[Receiver]:
    """A receiver for each export, named by its kind, and numbered from the second of a kind on."""
    kinds = [export.to for export in telemetry.export]
    receivers: list[Receiver] = []
    for index, export in enumerate(telemetry.export):
        number = kinds[: index + 1].count(export.to)
        receivers.append(
            Receiver(
                export,
                name=export.to if number == 1 else f"{export.to}#{number}",
                envelope=encoder.envelope,
                batch=telemetry.batch,
                limit=telemetry.queue,
            )
        )
    return receivers
