"""Lines of batches on their way to the models: what cannot be seen from outside."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

from hanok.batches import Batch, Outcome
from hanok.gateway.lines import LineAsker
from hanok.gateway.wires.large import LARGE_BYTES
from hanok.ledger import Key

BATCH = Batch(
    id="batch_1",
    owner="ann",
    key_id="key_1",
    input_file_id="file-1",
    endpoint="/v1/responses",
    completion_window="24h",
    created_at=0,
    expires_at=1,
)


class Keys:
    """Nobody may come in; remembers the thread in which that was asked."""

    thread = 0

    def by_id(self, id_: str) -> Key | None:
        del id_
        self.thread = threading.get_ident()
        return None


def test_a_long_line_is_read_in_a_thread_so_that_callers_need_not_wait_for_it() -> None:
    keys, nothing = Keys(), cast("Any", None)
    asker = LineAsker(nothing, reception=nothing, keys=keys, wall=lambda: 0.0)
    for size, here in ((10, True), (LARGE_BYTES, False)):
        outcome = asyncio.run(asker.ask(BATCH, b"x" * size, "req_1"))
        assert isinstance(outcome, Outcome) and outcome.status == 401
        assert (keys.thread == threading.get_ident()) is here
