"""What the house says of itself: Prometheus metrics and log lines."""

from hanok.telemetry.log import configure_logging
from hanok.telemetry.metrics import Metrics

__all__ = ["Metrics", "configure_logging"]
