"""The desk for batches: `/v1/batches`. It takes orders and tells how they stand; they are run elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hanok.batches import Batch, Intake, Shelf, batch_form, list_form
from hanok.errors import Unknown, WrongMethod
from hanok.gateway.bodies import decode_body
from hanok.gateway.envelope import answer_error, error_event
from hanok.gateway.files import DAY_S, ExpiresAfter
from hanok.gateway.giving import JSON_TYPE
from hanok.gateway.http import Call, no_headers
from hanok.gateway.paging import read_page
from hanok.gateway.reception import Reception
from hanok.gateway.replay import Handle
from hanok.spec import Batches as Settings
from hanok.wire import json_bytes

PAGE, LARGEST_PAGE = 20, 100
Label = Annotated[str, Meta(min_length=1, max_length=64)]
Text = Annotated[str, Meta(max_length=512)]


class BatchBody(msgspec.Struct, kw_only=True):
    """`POST /v1/batches`"""

    input_file_id: Annotated[str, Meta(min_length=1, max_length=128)]
    endpoint: Annotated[str, Meta(max_length=128)]
    completion_window: Annotated[str, Meta(max_length=16)]
    metadata: Annotated[dict[Label, Text], Meta(max_length=16)] | None = None
    output_expires_after: ExpiresAfter | None = None


class Batches:
    """The desk. `settings` are those that hold now, `starts_at` is when lines are asked next, if that is not now."""

    paths: Sequence[str] = ("/v1/batches",)
    asks: Set[str] = frozenset()
    answer_error = staticmethod(answer_error)
    error_event = staticmethod(error_event)
    also = staticmethod(no_headers)

    def __init__(
        self,
        intake: Intake,
        *,
        shelf: Shelf,
        reception: Reception,
        settings: Callable[[], Settings],
        starts_at: Callable[[], float | None],
    ) -> None:
        self._intake = intake
        self._shelf = shelf
        self._reception = reception
        self._settings = settings
        self._starts_at = starts_at
        self.posts: Mapping[str, Handle] = {"/v1/batches": self._create}

    async def __call__(self, call: Call) -> None:
        """Answer one call. Raises `RequestError` and `StoreError`."""
        caller = self._reception.caller(call, self._reception.find_key(call))
        owner = caller.tenant
        match call.method, call.path.removeprefix("/v1/batches").strip("/").split("/"):
            case "GET", [""]:
                await call.reply(200, json_bytes(await self._list(call, owner)), JSON_TYPE)
            case "GET", [id_]:
                await self._tell(call, await self._intake.find(id_, owner))
            case "POST", [id_, "cancel"]:
                await self._tell(call, await self._intake.cancel(id_, owner))
            case _, [""]:
                raise WrongMethod(call.path, "GET, POST")
            case _, [_]:
                raise WrongMethod(call.path, "GET")
            case _, [_, "cancel"]:
                raise WrongMethod(call.path, "POST")
            case _:
                raise Unknown(f"there is nothing at {call.path}; see /openapi.json", code="not_found")

    async def _create(self, call: Call) -> None:
        caller = self._reception.caller(call, self._reception.find_key(call))
        body = decode_body(await self._reception.body(call), BatchBody)
        kept = body.output_expires_after
        batch = await self._intake.create(
            await self._shelf.find(body.input_file_id, caller.tenant),
            endpoint=body.endpoint,
            completion_window=body.completion_window,
            key_id=caller.key_id,
            metadata=body.metadata,
            keep_s=kept.seconds if kept else int(self._settings().keep_days * DAY_S),
            session=caller.session,
            run=caller.run,
        )
        await self._tell(call, batch)

    async def _list(self, call: Call, owner: str) -> dict[str, Any]:
        page = read_page(call, limit=PAGE, most=LARGEST_PAGE)
        found = await self._intake.page(owner, after=page.after, limit=page.limit + 1)
        forms = [batch_form(batch, starts_at=self._starts_at()) for batch in found[: page.limit]]
        return list_form(forms, more=len(found) > page.limit)

    async def _tell(self, call: Call, batch: Batch) -> None:
        await call.reply(200, json_bytes(batch_form(batch, starts_at=self._starts_at())), JSON_TYPE)
