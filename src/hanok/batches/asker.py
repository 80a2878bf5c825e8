"""What batches need of the world above them: somebody who knows keys and models, and asks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import msgspec

from hanok.batches.entries import Batch
from hanok.batches.forms import Outcome


class Later(msgspec.Struct, frozen=True, kw_only=True):
    """A line could not be asked, and whoever asks again may fare better: in `after_s` seconds at the soonest.

    `patient` says that it is a matter of waiting (something is full, slow to start or out of reach), `crowded` that
    what stands in its way may be calls that run now; else it is a failure, of which there are only so many.
    """

    outcome: Outcome
    after_s: float | None = None
    patient: bool = False
    crowded: bool = False


class Asker(Protocol):
    """Asks what lines ask, as if the batch's key had called."""

    endpoints: Collection[str]
    """The paths that lines may name."""

    def check(self, batch: Batch, body: bytes) -> str:
        """The model that this body asks for. Raises `RequestError` when the door would not let it in."""
        ...

    async def ask(self, batch: Batch, body: bytes, request_id: str) -> Outcome | Later:
        """Ask. Raises nothing but what a bug raises."""
        ...
