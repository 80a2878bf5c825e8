"""The desk for OpenAI's Responses: answers, and the kept ones of before by their ids."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import msgspec

from hanok.errors import RequestError, StoreError, Unknown, WrongMethod
from hanok.gateway.envelope import ErrorAnswer, answer_error
from hanok.gateway.giving import JSON_TYPE, Giving
from hanok.gateway.http import Call, no_headers
from hanok.gateway.reception import Reception
from hanok.gateway.replay import Handle
from hanok.gateway.wires.counted import CountTokens, count_or_guess
from hanok.gateway.wires.fields import invalid, shown, unsupported
from hanok.gateway.wires.large import work_on
from hanok.gateway.wires.responses_answer import ResponseWriter
from hanok.gateway.wires.responses_request import (
    ResponsesRequest,
    chat_request,
    parse_responses,
    referred,
    with_referred,
)
from hanok.gateway.wires.responses_store import CHAIN, CHAIN_BYTES, KeptResponse, ResponseStore, Turn
from hanok.gateway.wires.retelling import give_retold
from hanok.wire import Caller, ChatRequest, json_bytes

_Json = dict[str, Any]
LISTED = 20
MOST_LISTED = 100
_PATH = "/v1/responses"
_COUNT_PATH = "/v1/responses/input_tokens"
_log = logging.getLogger(__name__)
_JSON_LIST = msgspec.json.Decoder(list[_Json]).decode


class ResponsesDesk:
    """Answers `client.responses` of OpenAI's SDK. `store` has what is kept; `wall` gives Unix seconds."""

    paths: Sequence[str] = (_PATH,)
    asks: Set[str] = frozenset()
    answer_error = staticmethod(answer_error)
    also = staticmethod(no_headers)

    def __init__(
        self,
        *,
        reception: Reception,
        giving: Giving,
        count: CountTokens,
        store: ResponseStore,
        wall: Callable[[], float],
    ) -> None:
        self._reception = reception
        self._giving = giving
        self._count = count
        self._store = store
        self._wall = wall
        self.posts: Mapping[str, Handle] = {_PATH: self._create, _COUNT_PATH: self._count_tokens}

    def error_event(self, failed: ErrorAnswer) -> bytes:
        """The last event of a stream that fails: OpenAI's envelope, and its own fields beside."""
        said: _Json = msgspec.json.decode(failed.body).get("error") or {}
        told = {name: said.get(name) for name in ("code", "message", "param")}
        return b"event: error\ndata: %b\n\n" % json_bytes({"type": "error", **told, "error": said})

    async def __call__(self, call: Call) -> None:
        """What is kept: show, list or delete it. Raises `RequestError`."""
        tenant = self._tenant(call)
        match (call.method, call.path.removeprefix(_PATH).strip("/").split("/")):
            case (_, [""] | ["input_tokens"]):
                raise WrongMethod(call.path, "POST")
            case ("GET", [own]):
                await self._show(call, own, tenant)
            case ("DELETE", [own]):
                await self._delete(call, own, tenant)
            case ("GET", [own, "input_items"]):
                await self._list_items(call, own, tenant)
            case ("POST", [_, "cancel"]):
                raise RequestError("only responses in the background can be cancelled", code="unsupported")
            case (_, [_]):
                raise WrongMethod(call.path, "GET, DELETE")
            case _:
                raise Unknown(f"there is nothing at {call.path}", code="not_found")

    # answers

    async def _create(self, call: Call) -> None:
        asked, request = await self._read(call)
        caller = request.caller
        name = secrets.token_hex(16)
        keep = partial(self._keep, asked, name, caller.tenant)
        writer = ResponseWriter(asked, name=name, new_call_id=_new_call_id, wall=self._wall, keep=keep)
        await give_retold(self._giving, call, request, writer)

    async def _read(self, call: Call) -> tuple[ResponsesRequest, ChatRequest]:
        key = self._reception.find_key(call)
        caller = self._reception.caller(call, key)
        data = await self._reception.body(call)
        asked = await work_on(len(data), parse_responses, data)
        self._reception.offer(asked.body.model, "chat", key)
        if ids := referred(asked.body):
            found = await self._store.run(self._look_up, ids, caller.tenant)
            asked = with_referred(asked, found)
        before, size = await self._before(asked.body.previous_response_id, caller)
        options = self._reception.options(call)
        return asked, await work_on(len(data) + size, chat_request, asked, before, caller, options)

    def _look_up(self, ids: Sequence[str], tenant: str) -> dict[str, _Json]:
        """Kept items by their ids, which name their response; runs in a thread.

        Raises `RequestError` when they are more than a conversation may be: what is referred to is longer than its id.
        """
        times, found, size = Counter(ids), dict[str, _Json](), 0
        responses = {f"resp_{parts[1]}" for each in times if len(parts := each.split("_")) == 3}
        for place, each in enumerate(responses):
            if (turn := self._store.get(each, tenant, self._wall())) is not None:
                items = {item["id"]: item for item in _turn_items(turn) if item["id"] in times}
                size += turn.size + sum((times[own] - 1) * len(json_bytes(item)) for own, item in items.items())
                found |= items
            if place >= CHAIN or size > CHAIN_BYTES:
                message = f"refers to more than {CHAIN} responses, or to more than {CHAIN_BYTES // 1024**2} MiB"
                raise invalid("input", message)
        return found

    async def _before(self, previous: str | None, caller: Caller) -> tuple[Sequence[bytes], int]:
        """What was said before, turn by turn, and its size in bytes.

        Raises `RequestError` unless all of it is kept, and the tenant's own.
        """
        if previous is None:
            return (), 0
        tenant = caller.tenant
        turns = await self._store.run(self._store.chain, previous, tenant, self._wall())
        if turns is None:
            message = f"there is no response {shown(previous)} here, or its conversation is not kept whole any more"
            raise RequestError(message, param="previous_response_id", code="previous_response_not_found")
        before = [part for turn in turns for part in (turn.items, turn.response)]
        return before, sum(map(len, before))

    async def _keep(self, asked: ResponsesRequest, name: str, tenant: str, form: _Json) -> _Json:
        """Write a finished response down. Where that fails it is still given, and says that it is not kept."""
        if asked.body.store is False:
            return form
        try:
            await self._store.run(self._put, asked, name, tenant, form)
        except StoreError:
            _log.exception("the response %s cannot be kept", form["id"])
            return {**form, "store": False}
        return form

    def _put(self, asked: ResponsesRequest, name: str, tenant: str, form: _Json) -> None:
        """Runs in a thread: what was asked may be long. Raises `StoreError`."""
        kept = KeptResponse(
            id=form["id"],
            tenant=tenant,
            previous=asked.body.previous_response_id,
            at=self._wall(),
            response=json_bytes(form),
            items=json_bytes(_named(asked.items, name)),
        )
        self._store.put(kept)

    async def _count_tokens(self, call: Call) -> None:
        _, request = await self._read(call)
        tokens, header = await count_or_guess(self._count, request)
        body = json_bytes({"object": "response.input_tokens", "input_tokens": tokens})
        await call.reply(200, body, JSON_TYPE, header)

    # what is kept

    def _tenant(self, call: Call) -> str:
        caller = self._reception.caller(call, self._reception.find_key(call))
        return caller.tenant

    async def _find(self, own: str, tenant: str) -> Turn:
        turn = await self._store.run(self._store.get, own, tenant, self._wall())
        if turn is None:
            raise _unknown(own)
        return turn

    async def _show(self, call: Call, own: str, tenant: str) -> None:
        if parse_qs(call.query).get("stream", [""])[0].lower() == "true":
            raise unsupported("stream", "a response that is over is not streamed again")
        await call.reply(200, (await self._find(own, tenant)).response, JSON_TYPE)

    async def _delete(self, call: Call, own: str, tenant: str) -> None:
        if not await self._store.run(self._store.delete, own, tenant):
            raise _unknown(own)
        await call.reply(200, json_bytes({"id": own, "object": "response", "deleted": True}), JSON_TYPE)

    async def _list_items(self, call: Call, own: str, tenant: str) -> None:
        items = _JSON_LIST((await self._find(own, tenant)).items)
        await call.reply(200, json_bytes(_page(items, parse_qs(call.query))), JSON_TYPE)


def _page(items: list[_Json], query: Mapping[str, Sequence[str]]) -> _Json:
    """One page of items: `limit` (20), `order` (desc), `after` an id. Raises `RequestError`."""
    order, limit = query.get("order", ["desc"])[0], query.get("limit", [str(LISTED)])[0]
    if not limit.isascii() or not limit.isdigit() or len(limit) > 9 or not 1 <= int(limit) <= MOST_LISTED:
        raise invalid("limit", f"is a number from 1 to {MOST_LISTED}")
    if order not in ("asc", "desc"):
        raise invalid("order", "is asc or desc")
    ordered = items if order == "asc" else items[::-1]
    if (after := query.get("after", [""])[0]) != "":
        places = [place for place, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise invalid("after", f"there is no item {shown(after)}")
        ordered = ordered[places[0] + 1 :]
    page = ordered[: int(limit)]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": "", "last_id": ""}
    return {"object": "list", "data": page, **ends, "has_more": len(ordered) > len(page)}


def _named(items: Sequence[_Json], name: str) -> list[_Json]:
    """Items with ids, where they came without."""
    return [
        item if isinstance(item.get("id"), str) and item["id"] else {**item, "id": f"in_{name}_{place}"}
        for place, item in enumerate(items)
    ]


def _turn_items(turn: Turn) -> list[_Json]:
    """All items of a turn: what came in, and what was answered."""
    return [*_JSON_LIST(turn.items), *msgspec.json.decode(turn.response)["output"]]


def _unknown(own: str) -> Unknown:
    return Unknown(f"there is no response {shown(own)} here", param="response_id", code="not_found")


def _new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"
