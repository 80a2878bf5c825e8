"""Runs and budgets as callers see them: give a run a limit of its own, and see what is left.

A run is a path, `root/child/grandchild`. What a run uses counts against every run above it, so a child's limit is taken
from its parent's, and no order of calls can pass either.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hanok.errors import RequestError
from hanok.gateway.bodies import decode_body
from hanok.ledger import Admission, Allotment, Ledger, describe
from hanok.wire import NANO, Caller

RUN_HEADER = b"x-hanok-run"
LONGEST_RUN = 512
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}(/[A-Za-z0-9][A-Za-z0-9._:-]{0,127}){0,15}")


class RunBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /v1/runs`"""

    run: str
    usd: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    tokens: Annotated[int, Meta(ge=0, le=10**15)] | None = None


class Runs:
    """Limits of runs."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        admission: Admission,
        wall: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._admission = admission
        self._wall = wall

    async def allot(self, body: bytes, caller: Caller) -> dict[str, Any]:
        """Give one of the caller's runs a limit. Raises `RequestError` and `StoreError`."""
        asked = decode_body(body, RunBody)
        run = read_run(asked.run)
        if asked.usd is None and asked.tokens is None:
            raise RequestError("a run's limit needs `usd`, or `tokens`, or both", param="usd", code="invalid_value")
        tenant = caller.tenant
        cost = None if asked.usd is None else round(asked.usd * NANO)
        allot = partial(self._ledger.allot, cost_nano_usd=cost, tokens=asked.tokens, actor=caller.key_name)
        await asyncio.to_thread(allot, tenant, run)
        self._admission.allot(tenant, run, Allotment(cost_nano_usd=cost, tokens=asked.tokens))
        return {"run": run, "budgets": await self.budgets(msgspec.structs.replace(caller, run=run))}

    async def budgets(self, caller: Caller, model: str = "") -> list[dict[str, Any]]:
        """How the accounts stand that the caller draws on. Raises `StoreError`."""
        accounts = await self._admission.accounts(caller, model, self._wall())
        await self._admission.look(accounts)
        return [describe(account) for account in accounts]


def read_run(text: str) -> str:
    """A run's path, checked. Raises `RequestError`."""
    if len(text) > LONGEST_RUN or not _RUN.fullmatch(text):
        message = "a run is a name, or names with / between (a run and the runs it started): letters, digits, . _ : -"
        raise RequestError(message, param="run", code="invalid_run")
    return text
