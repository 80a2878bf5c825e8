"""The engines of the running server as a source of `hanok gpu top`: what Hanok's own fleet has read already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hanok.cli.server import Server
from hanok.cli.terminal import load_to_ask
from hanok.errors import HanokError, SourceError
from hanok.gpu.monitor import Load, Told


@dataclass(frozen=True, kw_only=True)
class FleetSource:
    """`GET /admin/fleet` of the server that runs from a platform file."""

    server: Server
    name: str = "fleet"

    @classmethod
    def of(cls, file: Path) -> Self:
        """The server of this file. Raises `SpecError`, or `StartError` where none runs or it has no admin key."""
        return cls(server=Server.of_admin(load_to_ask(file)))

    def look(self) -> Told:
        """The load of each endpoint that tells one. Raises `SourceError`."""
        try:
            endpoints = self.server.ask("GET", "/admin/fleet")["endpoints"]
        except HanokError as error:
            raise SourceError(error.message, hint=error.hint) from error
        return Told(loads=tuple(self._load(each) for each in endpoints if each["load"]))

    def _load(self, endpoint: dict[str, Any]) -> Load:
        load = endpoint["load"]
        return Load(
            source=self.name,
            model=endpoint["model"],
            place=endpoint["endpoint"],
            running=load["running"],
            waiting=load["waiting"],
            cache_used=load["kv_usage"],
        )
