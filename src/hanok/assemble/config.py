"""Which platform.yaml runs: notices that the file was written, has it taken up, or refuses it and stays as it is.

What decides is the file's text: it is read when its mark (`spec.watch`) differs, and taken up when its digest does. One
change is taken up after the other, each as the file is then, so the last one wins.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hanok.errors import HanokError, SpecError, StartError
from hanok.ledger import iso
from hanok.spec import Loaded
from hanok.spec.load import digest, parse, read
from hanok.spec.watch import Mark, look, settled
from hanok.telemetry import Metrics

LOOK_EVERY_S = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What taking a platform up has changed, in words; and what changes only `at_next_start`."""

    loaded: Loaded
    changes: Sequence[str] = ()
    at_next_start: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A file that was not taken up: when (Unix seconds), its text's digest, and what is wrong with it."""

    at: float
    digest: str
    error: SpecError | StartError

    @property
    def first(self) -> str:
        return self.problems[0]["message"] if isinstance(self.error, StartError) else str(self.error.problems[0])

    @property
    def problems(self) -> list[dict[str, Any]]:
        """In JSON's terms."""
        if isinstance(self.error, SpecError):
            return [
                {
                    "line": each.line,
                    "column": each.column,
                    "path": each.path,
                    "message": each.message,
                    "hint": each.hint,
                }
                for each in self.error.problems
            ]
        return [{"line": 0, "column": 0, "path": "", "message": self.error.message, "hint": self.error.hint}]


class Config:
    """The configuration now. `take_up` changes the house, all or nothing, and may raise `StartError`.

    `heard` is told in one line what was taken up, `took` the text of it. `wall` gives Unix seconds.
    """

    def __init__(self, loaded: Loaded, *, metrics: Metrics, wall: Callable[[], float]) -> None:
        self.loaded = loaded
        self.taken_at = wall()
        self.refused: Refused | None = None
        self.at_next_start: Sequence[str] = ()
        self.take_up: Callable[[Loaded], Awaitable[Taken]] | None = None
        self.heard: Callable[[str], None] = lambda _: None
        self.took: Callable[[str], None] = lambda _: None
        self._metrics = metrics
        self._wall = wall
        self._one_at_a_time = asyncio.Lock()
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Have the file looked at now, also when changes are not followed."""
        self._asked.set()

    async def follow(self) -> None:
        """For ever: take up changes of the file."""
        seen: Mark | None = None
        while True:
            asked = self._asked.is_set()
            self._asked.clear()
            if asked or self.loaded.platform.gateway.reload:
                mark = await asyncio.to_thread(look, self.loaded.file)
                if asked or mark != seen:
                    seen = await asyncio.to_thread(settled, self.loaded.file)
                    await self._try()
            await self._pause()

    async def reload(self) -> Sequence[str]:
        """Take up the file as it is now, and say what has changed. Raises `SpecError` and `StartError`."""
        return await self._take_up(lambda: read(self.loaded.file))

    async def take(self, text: str) -> None:
        """Take up a text that another process of ours has taken up, whatever the file is now; or refuse it."""
        with contextlib.suppress(HanokError):  # refused, and told
            await self._take_up(lambda: text)

    async def _take_up(self, find: Callable[[], str]) -> Sequence[str]:
        async with self._one_at_a_time:
            found = ""
            try:
                text = await asyncio.to_thread(find)
                found = digest(text)
                if found == self.loaded.digest:
                    self.refused = None
                    return ()
                loaded = await asyncio.to_thread(parse, text, self.loaded.file)
                assert self.take_up is not None
                taken = await self.take_up(loaded)
            except (SpecError, StartError) as error:
                self._refuse(Refused(at=self._wall(), digest=found, error=error))
                raise
            self._take(taken)
            self.took(text)
            return taken.changes

    def form(self) -> dict[str, Any]:
        """What runs, in JSON's terms."""
        refused = self.refused
        return {
            "file": str(self.loaded.file),
            "sha256": self.loaded.digest,
            "taken_at": iso(self.taken_at),
            "reload": self.loaded.platform.gateway.reload,
            "at_next_start": list(self.at_next_start),
            "refused": None
            if refused is None
            else {"at": iso(refused.at), "sha256": refused.digest, "problems": refused.problems},
        }

    def standing(self) -> Mapping[str, Any]:
        """What runs, in a line."""
        return {"taken_at": iso(self.taken_at), "refused": self.refused.first if self.refused else None}

    async def _try(self) -> None:
        try:
            await self.reload()
        except HanokError:
            pass  # refused, and told
        except Exception:  # noqa: BLE001 - one surprise must not end the following of the file
            _log.exception("%s cannot be taken up", self.loaded.file)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._asked.wait()
        except TimeoutError:
            pass

    def _take(self, taken: Taken) -> None:
        self.loaded, self.taken_at, self.refused = taken.loaded, self._wall(), None
        self.at_next_start = taken.at_next_start
        self._metrics.reloaded("taken")
        later = f"takes effect at the next start: {', '.join(taken.at_next_start)}" if taken.at_next_start else ""
        now = ", ".join(taken.changes) or ("" if later else "nothing that matters has changed")
        said = f"{self.loaded.file} taken up: {'; '.join(part for part in (now, later) if part)}"
        _log.info("%s", said)
        self.heard(said)

    def _refuse(self, refused: Refused) -> None:
        self._metrics.reloaded("refused")
        known = self.refused
        self.refused = refused
        if known is None or (known.digest, str(known.error)) != (refused.digest, str(refused.error)):
            _log.error("%s is not taken up, what ran before goes on:\n%s", self.loaded.file, refused.error)
