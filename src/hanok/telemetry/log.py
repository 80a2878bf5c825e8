"""Log lines: one a line on stderr, plain for people or JSON for machines. Secrets never come here."""

from __future__ import annotations

import json
import logging
import sys
from typing import Literal

LogFormat = Literal["text", "json"]


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure_logging(level: str = "warning", style: LogFormat = "text") -> None:
    """Send Hanok's log lines of `level` and above to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(_JsonLine() if style == "json" else plain)
    logger = logging.getLogger("hanok")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
