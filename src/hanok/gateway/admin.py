"""The admin API under `/admin`: keys, runs, usage, budgets and the audit log, behind the key `gateway.admin_key`.

The admin key is compared as SHA-256 digests in constant time. Every change is noted in the ledger's audit log, never
with a secret.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, Protocol, cast, get_args
from urllib.parse import parse_qs, unquote

import msgspec
from msgspec import Meta
from pydantic import TypeAdapter, ValidationError

from hanok.caches import Cached
from hanok.errors import NotNow, RequestError, SpecError, StartError, StoreError, Unauthenticated, Unknown
from hanok.gateway.bodies import decode_body
from hanok.gateway.envelope import answer_error, error_event
from hanok.gateway.http import Call, no_headers
from hanok.gateway.replay import Handle
from hanok.ledger import Admission, Grouping, Key, Ledger, NewKey, UsageRow, describe, digest, iso
from hanok.spec import Allowance, Platform, Rates
from hanok.wire import json_bytes

ACTOR = "admin"
AWAY = "the cache's Redis does not answer"
_GROUPINGS: tuple[str, ...] = get_args(Grouping)
_NUMBER = re.compile(r"[0-9]{1,18}")
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
Patterns = Annotated[list[Annotated[str, Meta(min_length=1, max_length=128)]], Meta(max_length=1000)]
Seconds = Annotated[float, Meta(ge=0, le=10**10)]


class KeyBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /admin/keys` and `PATCH /admin/keys/ID`. What is left out stays as it is."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    team: str | msgspec.UnsetType | None = msgspec.UNSET
    user: str | msgspec.UnsetType | None = msgspec.UNSET
    models: Patterns | msgspec.UnsetType = msgspec.UNSET
    knowledge: Patterns | msgspec.UnsetType = msgspec.UNSET
    agents: Patterns | msgspec.UnsetType = msgspec.UNSET
    expires_at: float | str | msgspec.UnsetType | None = msgspec.UNSET
    expires_in_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    budgets: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    limits: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class RotateBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /admin/keys/ID/rotate`"""

    grace_s: Seconds = 0.0


_allowances = TypeAdapter(tuple[Allowance, ...])
_rates = TypeAdapter(Rates)


class Configuration(Protocol):
    """platform.yaml as it runs."""

    async def reload(self) -> Sequence[str]:
        """Take up the file as it is now, and say what has changed. Raises `SpecError` and `StartError`."""
        ...

    def form(self) -> dict[str, Any]:
        """What runs, and what was refused last, in JSON's terms and without secrets."""
        ...


class Admin:
    """The admin API. `changed` is called after a change of keys or runs, to take it up at once.

    `fleet` gives every endpoint as it is now, in JSON's terms; `wall` Unix seconds.
    """

    paths: Sequence[str] = ("/admin",)
    asks: Set[str] = frozenset()
    posts: Mapping[str, Handle] = MappingProxyType({})
    answer_error = staticmethod(answer_error)
    error_event = staticmethod(error_event)
    also = staticmethod(no_headers)

    def __init__(
        self,
        secret: str,
        *,
        ledger: Ledger,
        admission: Admission,
        platform: Callable[[], Platform],
        changed: Callable[[], Awaitable[None]],
        configuration: Configuration,
        caches: Cached,
        fleet: Callable[[], dict[str, Any]],
        wall: Callable[[], float],
    ) -> None:
        self._wall = wall
        self._caches = caches
        self._fleet = fleet
        self._configuration = configuration
        self._digest = digest(secret)
        self._ledger = ledger
        self._admission = admission
        self._platform = platform
        self._changed = changed

    async def __call__(self, call: Call) -> None:
        """Answer one call. Raises `Unauthenticated`, `Unknown` and `RequestError`."""
        self._authenticate(call)
        steps = [unquote(step) for step in call.path.removeprefix("/admin").strip("/").split("/")]
        try:
            status, form = await self._answer(call, steps)
        except StoreError as error:
            raise RequestError(str(error), code="refused") from None
        await call.reply(status, json_bytes(form), (b"content-type", b"application/json"))

    def _authenticate(self, call: Call) -> None:
        scheme, _, secret = call.headers.get(b"authorization", b"").partition(b" ")
        given = digest(secret.strip().decode("latin-1"))
        if not hmac.compare_digest(given, self._digest) or scheme.lower() != b"bearer":
            message = "the admin API takes `Authorization: Bearer` with the key `gateway.admin_key`"
            raise Unauthenticated(message, code="invalid_admin_key")

    async def _answer(self, call: Call, steps: list[str]) -> tuple[int, Any]:
        match (call.method, steps):
            case ("GET", ["keys"]):
                return 200, {"keys": [key_form(key) for key in await self._store(self._ledger.list_keys)]}
            case ("POST", ["keys"]):
                return 201, new_key_form(await self._create(decode_body(await call.body(), KeyBody)))
            case ("GET", ["keys", name]):
                return 200, key_form(await self._key(name))
            case ("PATCH", ["keys", name]):
                changes = await self._changes(decode_body(await call.body(), KeyBody))
                return 200, key_form(await self._change(self._ledger.update_key, name, actor=ACTOR, **changes))
            case ("DELETE", ["keys", name]):
                return 200, key_form(await self._change(self._ledger.revoke_key, name, actor=ACTOR))
            case ("POST", ["keys", name, "rotate"]):
                body = decode_body(await call.body(), RotateBody)
                new = await self._change(self._ledger.rotate_key, name, grace_s=body.grace_s, actor=ACTOR)
                return 200, new_key_form(new)
            case ("GET", ["teams"]):
                return 200, {"teams": await self._subjects("team", [t.model_dump() for t in self._platform().teams])}
            case ("GET", ["users"]):
                return 200, {"users": await self._subjects("user", [u.model_dump() for u in self._platform().users])}
            case ("GET", ["budgets"]):
                return 200, {"budgets": [describe(account) for account in self._admission.open_accounts()]}
            case ("GET", ["usage"]):
                return 200, await self._usage(call)
            case ("GET", ["audit"]):
                return 200, await self._audit(call)
            case ("GET", ["fleet"]):
                return 200, self._fleet()
            case ("GET", ["config"]):
                return 200, self._configuration.form()
            case ("GET", ["cache"]):
                return 200, await self._show_cache()
            case ("DELETE", ["cache"]):
                return 200, await self._clear_cache(_query(call, "model", ""))
            case ("POST", ["reload"]):
                return await self._reload()
            case _:
                raise Unknown(f"the admin API has no {call.method} {call.path}; see /openapi.json", code="not_found")

    async def _reload(self) -> tuple[int, Any]:
        try:
            changes = await self._configuration.reload()
        except (SpecError, StartError):
            return 422, {"taken": False, **self._configuration.form()["refused"]}
        note = partial(self._ledger.note, actor=ACTOR, action="config.reload", subject="platform.yaml")
        await asyncio.to_thread(note, detail={"changes": list(changes)})
        return 200, {"taken": True, "changes": list(changes)}

    # answers that are kept

    async def _show_cache(self) -> Any:
        caches, declared = self._caches, self._platform()
        found = await caches.store.count()
        if found is None:
            raise NotNow(AWAY, code="cache_unreachable")
        rows = [
            {
                "model": model,
                "on": model in caches.rules,
                "entries": found[model].entries if model in found else 0,
                "bytes": found[model].bytes if model in found else 0,
                "hits": counts.found["hit"],
                "semantic": counts.found["semantic"],
                "misses": counts.found["miss"],
            }
            for model, counts in sorted(caches.counts.items())
        ]
        return {"store": declared.cache.store, "models": rows}

    async def _clear_cache(self, model: str) -> Any:
        if model and self._platform().model(model) is None:
            raise Unknown(f"there is no model {model!r}", param="model", code="model_not_found")
        cleared = await self._caches.clear(model or None)
        if cleared is None:
            raise NotNow(AWAY, code="cache_unreachable")
        note = partial(self._ledger.note, actor=ACTOR, action="cache.clear", subject=model or "all models")
        await asyncio.to_thread(note, detail={"entries": cleared})
        return {"model": model or None, "cleared": cleared}

    # keys

    async def _create(self, body: KeyBody) -> NewKey:
        if body.name is msgspec.UNSET:
            raise RequestError("'name' is missing", param="name", code="invalid_value")
        changes = await self._changes(body)
        return await self._change(self._ledger.create_key, changes.pop("name"), actor=ACTOR, **changes)

    async def _changes(self, body: KeyBody) -> dict[str, Any]:
        """The fields that were given, checked."""
        given = {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not msgspec.UNSET}
        if "expires_in_s" in given:
            given["expires_at"] = self._wall() + given.pop("expires_in_s")
        elif isinstance(given.get("expires_at"), str):
            given["expires_at"] = _moment(given["expires_at"])
        for name in ("models", "knowledge", "agents"):
            if name in given:
                given[name] = tuple(given[name])
        for name, adapter in (("budgets", _allowances), ("limits", _rates)):
            if name in given:
                given[name] = _validated(adapter, given[name], name)
        if (team := given.get("team")) is not None and team not in {each.name for each in self._platform().teams}:
            raise RequestError(f"no team is called {team!r}; teams are declared in platform.yaml", param="team")
        return given

    async def _key(self, name: str) -> Key:
        for key in await self._store(self._ledger.list_keys):
            if name in (key.id, key.name):
                return key
        raise Unknown(f"there is no key {name!r}", code="key_not_found")

    async def _change(self, change: Callable[..., Any], key: str, /, **more: Any) -> Any:
        done = await asyncio.to_thread(change, key, **more)
        await self._changed()
        return done

    # looking

    async def _subjects(self, kind: str, declared: list[dict[str, Any]]) -> list[dict[str, Any]]:
        spent = await asyncio.to_thread(self._ledger.usage, cast("Any", kind))
        rows = {row.group: row for row in spent}
        for each in declared:
            row = rows.get(each["name"])
            each["calls"] = row.calls if row else 0
            each["cost_usd"] = row.cost_usd if row else 0.0
        return declared

    async def _usage(self, call: Call) -> Any:
        by = _query(call, "by", "model")
        if by not in _GROUPINGS:
            raise RequestError(f"`by` is one of {', '.join(_GROUPINGS)}", param="by", code="invalid_value")
        since = _moment(text) if (text := _query(call, "since", "")) else 0.0
        rows = await asyncio.to_thread(self._ledger.usage, cast("Any", by), since=since)
        return {"by": by, "rows": [_usage_form(row) for row in rows]}

    async def _audit(self, call: Call) -> Any:
        limit = _query(call, "limit", "100")
        before = _query(call, "before", "")
        if not _NUMBER.fullmatch(limit) or not 1 <= int(limit) <= 1000 or (before and not _NUMBER.fullmatch(before)):
            raise RequestError("`limit` is 1 to 1000, `before` an entry's id", param="limit", code="invalid_value")
        entries = await asyncio.to_thread(self._ledger.audit, limit=int(limit), before=int(before) if before else None)
        return {"entries": [{**dataclasses.asdict(each), "at": iso(each.at)} for each in entries]}

    async def _store(self, read: Callable[[], list[Key]]) -> list[Key]:
        return await asyncio.to_thread(read)


def key_form(key: Key) -> dict[str, Any]:
    """A key in JSON's terms, without its secret."""
    return {
        "id": key.id,
        "name": key.name,
        "key": key.shown,
        "team": key.team,
        "user": key.user,
        "models": list(key.models),
        "knowledge": list(key.knowledge),
        "agents": list(key.agents),
        "budgets": [budget.model_dump(exclude_none=True) for budget in key.budgets],
        "limits": key.limits.model_dump(exclude_none=True),
        "created_at": iso(key.created_at),
        "expires_at": iso(key.expires_at) if key.expires_at else None,
        "revoked_at": iso(key.revoked_at) if key.revoked_at else None,
    }


def _usage_form(row: UsageRow) -> dict[str, Any]:
    return {**dataclasses.asdict(row), "cost_usd": row.cost_usd, "saved_usd": row.saved_usd}


def new_key_form(new: NewKey) -> dict[str, Any]:
    """A key just made: its secret is shown this once."""
    return {**key_form(new.key), "secret": new.secret}


def _validated(adapter: TypeAdapter[Any], value: Any, name: str) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join([name, *map(str, first["loc"])])
        raise RequestError(f"{place}: {first['msg'].lower()}", param=place, code="invalid_value") from None


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RequestError(f"{text!r} is not a date like 2026-11-01T12:00:00Z", code="invalid_value") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _query(call: Call, name: str, default: str) -> str:
    values: Mapping[str, list[str]] = parse_qs(call.query)
    return values.get(name, [default])[-1]
