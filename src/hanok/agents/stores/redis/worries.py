"""What of a Redis or Valkey server's settings loses what agents keep: told in the log when a house begins. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def worries(told: Mapping[str, Any]) -> Iterator[str]:
    """Of what the server tells of itself (`INFO persistence` and `memory`); nothing where it does not."""
    if told.get("aof_enabled") == 0:
        yield (
            "it writes no append-only file, so runs, checkpoints and memories since its last snapshot go when it stops;"
            " set `appendonly yes` there"
        )
    policy = str(told.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction" and told.get("maxmemory"):
        yield (
            f"when it is full it forgets what it likes ({policy}), of runs, too; set `maxmemory-policy noeviction`"
            " there, or name a server that keeps nothing else"
        )
