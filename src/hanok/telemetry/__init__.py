"""What the house says of itself: Prometheus metrics and log lines."""

from hanok.telemetry.log import configure_logging
from hanok.telemetry.metrics import Metrics
from hanok.telemetry.traced import Traced

__all__ = ["Metrics", "Traced", "configure_logging"]
