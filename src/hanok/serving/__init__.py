"""Engines: how they are reached, started, watched. `table` makes one from what the spec declares."""

from hanok.serving.fleet import Endpoint, Fleet
from hanok.serving.launch import EngineProcess, Launch
from hanok.serving.table import make_endpoint
from hanok.serving.watch import LAUNCHED, watch

__all__ = ["LAUNCHED", "Endpoint", "EngineProcess", "Fleet", "Launch", "make_endpoint", "watch"]
