"""Engines: how they are reached, started, watched. `table` makes one from what the spec declares."""

from hanok.serving.fleet import Endpoint, Fleet, Replicas
from hanok.serving.launch import EngineProcess, Launch
from hanok.serving.roster import Exchange, Post, Roster, declared_openings, make_posts
from hanok.serving.table import make_endpoint
from hanok.serving.watch import LAUNCHED

__all__ = [
    "LAUNCHED",
    "Endpoint",
    "EngineProcess",
    "Exchange",
    "Fleet",
    "Launch",
    "Post",
    "Replicas",
    "Roster",
    "declared_openings",
    "make_endpoint",
    "make_posts",
]
