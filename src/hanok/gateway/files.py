"""The desk for files: `/v1/files`. A file goes to disk as it comes, and from it as it is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from contextlib import aclosing
from types import MappingProxyType
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from hanok.batches import Shelf, file_form, list_form
from hanok.errors import BodyTooLarge, RequestError, Unknown, WrongMethod
from hanok.gateway.bodies import decode_body
from hanok.gateway.envelope import answer_error, error_event
from hanok.gateway.giving import JSON_TYPE
from hanok.gateway.http import Call, no_headers
from hanok.gateway.multipart import Form, read_form
from hanok.gateway.paging import read_page
from hanok.gateway.reception import Reception
from hanok.gateway.replay import Handle
from hanok.spec import Batches
from hanok.wire import json_bytes

MIB = 1024 * 1024
DAY_S = 86400
PAGE, LARGEST_PAGE = 10_000, 10_000
FORM_BYTES = 1024 * 1024
"""What a form may have beside its file."""
PURPOSES = ("batch", "assistants", "user_data")
"""Lines of a batch; the other two: documents for vector stores, kept until they are deleted."""
_EXPIRES = "expires_after"


class ExpiresAfter(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How long a file is kept, from the moment it was made."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Meta(ge=3600, le=2_592_000)]


class Files:
    """The desk. `settings` are those that hold now; `forget` is told of a file (and its owner) that is to go."""

    paths: Sequence[str] = ("/v1/files",)
    asks: Set[str] = frozenset()
    posts: Mapping[str, Handle] = MappingProxyType({})
    answer_error = staticmethod(answer_error)
    error_event = staticmethod(error_event)
    also = staticmethod(no_headers)

    def __init__(
        self,
        shelf: Shelf,
        *,
        reception: Reception,
        settings: Callable[[], Batches],
        forget: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._shelf = shelf
        self._forget = forget
        self._reception = reception
        self._settings = settings

    async def __call__(self, call: Call) -> None:
        """Answer one call. Raises `RequestError` and `StoreError`."""
        caller = self._reception.caller(call, self._reception.find_key(call))
        owner = caller.tenant
        match call.method, call.path.removeprefix("/v1/files").strip("/").split("/"):
            case "POST", [""]:
                await call.reply(200, json_bytes(await self._upload(call, owner)), JSON_TYPE)
            case "GET", [""]:
                await call.reply(200, json_bytes(await self._list(call, owner)), JSON_TYPE)
            case "GET", [id_]:
                await call.reply(200, json_bytes(file_form(await self._shelf.find(id_, owner))), JSON_TYPE)
            case "GET", [id_, "content"]:
                await self._give(call, id_, owner)
            case "DELETE", [id_]:
                file = await self._shelf.find(id_, owner)
                await self._forget(id_, owner)  # first: what a kill leaves in between is deleted by asking again
                await self._shelf.remove(file)
                await call.reply(200, json_bytes({"id": id_, "object": "file", "deleted": True}), JSON_TYPE)
            case _, [""]:
                raise WrongMethod(call.path, "GET, POST")
            case _, [_]:
                raise WrongMethod(call.path, "GET, DELETE")
            case _, [_, "content"]:
                raise WrongMethod(call.path, "GET")
            case _:
                raise Unknown(f"there is nothing at {call.path}; see /openapi.json", code="not_found")

    async def _upload(self, call: Call, owner: str) -> dict[str, object]:
        settings = self._settings()
        limit = int(settings.file_limit_mib * MIB)

        def too_large() -> RequestError:
            message = (
                f"the file is larger than {settings.file_limit_mib:g} MiB, the limit set by batches.file_limit_mib"
            )
            return BodyTooLarge(message, param="file", code="file_too_large")

        async with self._shelf.receiving() as incoming:

            async def take(data: bytes) -> None:
                if incoming.bytes + len(data) > limit:
                    raise too_large()
                await incoming.take(data)

            form = await read_form(call, limit=limit + FORM_BYTES, take=take, too_large=too_large)
            purpose, keep_s = _purpose(form), _keep_s(form)
            if keep_s is None and purpose == "batch":
                keep_s = int(settings.keep_days * DAY_S)
            file = await self._shelf.add(incoming, owner=owner, filename=form.filename, purpose=purpose, keep_s=keep_s)
        return file_form(file)

    async def _list(self, call: Call, owner: str) -> dict[str, object]:
        page = read_page(call, limit=PAGE, most=LARGEST_PAGE)
        found = await self._shelf.page(
            owner, after=page.after, limit=page.limit + 1, order=page.order, purpose=page.purpose
        )
        return list_form([file_form(file) for file in found[: page.limit]], more=len(found) > page.limit)

    async def _give(self, call: Call, id_: str, owner: str) -> None:
        file = await self._shelf.find(id_, owner)
        async with aclosing(self._shelf.content(file)) as pieces:
            first = await anext(pieces, b"")
            await call.begin(200, (b"content-type", b"application/octet-stream"))
            if first:
                await call.more(first)
            async for piece in pieces:
                await call.more(piece)
        await call.end()


def _purpose(form: Form) -> str:
    purpose = form.fields.get("purpose")
    if purpose is None:
        raise RequestError("'purpose' is missing", param="purpose", code="missing_required_parameter")
    if purpose not in PURPOSES:
        message = (
            f"`purpose` is {', '.join(PURPOSES[:-1])} or {PURPOSES[-1]}: nothing here uses files for {purpose[:32]!r}"
        )
        raise RequestError(message, param="purpose", code="invalid_value")
    return purpose


def _keep_s(form: Form) -> int | None:
    """What the form says of how long to keep the file: as fields `expires_after[seconds]`, or one of JSON."""
    fields = form.fields
    if _EXPIRES in fields:
        return decode_body(fields[_EXPIRES].encode(), ExpiresAfter).seconds
    given = {name[len(_EXPIRES) + 1 : -1]: value for name, value in fields.items() if name.startswith(f"{_EXPIRES}[")}
    if not given:
        return None
    seconds = given.get("seconds", "")
    is_number = seconds.isascii() and seconds.isdigit() and len(seconds) < 10
    typed = {**given, "seconds": int(seconds) if is_number else seconds}
    return decode_body(json_bytes(typed), ExpiresAfter).seconds
