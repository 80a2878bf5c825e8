"""What the house says of itself: Prometheus metrics, log lines, and OpenTelemetry spans."""

from hanok.telemetry.client import Counts
from hanok.telemetry.content import CONTENT_LIMIT_BYTES
from hanok.telemetry.context import (
    Trace,
    TraceStart,
    continue_trace,
    hand_on,
    in_child_span,
    in_span_below,
    in_span_beside,
    is_sampled,
)
from hanok.telemetry.deeds import Deed, Fact, Moment
from hanok.telemetry.export import Exporter
from hanok.telemetry.log import configure_logging
from hanok.telemetry.metrics import Metrics
from hanok.telemetry.providers import provider_names
from hanok.telemetry.sums import Sums

__all__ = [
    "CONTENT_LIMIT_BYTES",
    "Counts",
    "Deed",
    "Exporter",
    "Fact",
    "Metrics",
    "Moment",
    "Sums",
    "Trace",
    "TraceStart",
    "configure_logging",
    "continue_trace",
    "hand_on",
    "in_child_span",
    "in_span_below",
    "in_span_beside",
    "is_sampled",
    "provider_names",
]
