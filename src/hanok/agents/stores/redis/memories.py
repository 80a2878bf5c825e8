"""Memories on a Redis or Valkey server. Those of an owner are on one node of a cluster, `M` being
`hanok:{PLATFORM/memories/TENANT/AGENT/USER}:agents:`.

| key | kind | what |
|---|---|---|
| `M texts` | hash | by their ids: text, tags, when it was made and when it expires, as JSON |
| `M vectors` | hash | by their ids: the model, and what the text means to it |
| `M latest` | sorted set | ids by minus when they were made: the latest first |
| `M expires` | sorted set | ids by when they expire |
| `P remembered-by:TENANT/USER` | set | the agents that remember something of a user |
| `P expiring` | sorted set | owners with ids, as JSON, by when they expire |

The last two are of the platform, on another node. They are written before and after what they lead to, so that nothing
is there to which nothing leads; what they lead to in vain is passed over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from hanok.agents.memory.values import Memory, Owner, Vector
from hanok.agents.stores.redis.run_rows import each_alone, several, text_of
from hanok.agents.stores.redis.server import Script, Server
from hanok.agents.stores.rows import as_json

VERSION = 1
LOOKED_AT_ONCE = 1000
"""Of an owner's memories, in one step."""
PRUNED_AT_ONCE = 200
_read_owned = msgspec.json.Decoder(tuple[str, str, str, str]).decode
_read_memory = msgspec.json.Decoder(tuple[str, tuple[str, ...], float, float | None]).decode

_COMMON = """
local P = KEYS[1]
local texts, vectors, latest, expires = P .. 'texts', P .. 'vectors', P .. 'latest', P .. 'expires'
local cursor = 0
local function take() cursor = cursor + 1; return ARGV[cursor] end
local function remove(id)
  redis.call('HDEL', vectors, id)
  redis.call('ZREM', latest, id)
  redis.call('ZREM', expires, id)
  return redis.call('HDEL', texts, id)
end
"""
_ADD = Script.of(
    _COMMON,
    """
local id, text, vector, minus_created_at, expires_at, limit = take(), take(), take(), take(), take(), take()
redis.call('HSET', texts, id, text)
redis.call('HSET', vectors, id, vector)
redis.call('ZADD', latest, minus_created_at, id)
if expires_at ~= '' then redis.call('ZADD', expires, expires_at, id) else redis.call('ZREM', expires, id) end
for _, each in ipairs(redis.call('ZRANGE', latest, limit, -1)) do remove(each) end
""",
)
_ONE = Script.of(_COMMON, "return redis.call('HGET', texts, take())")
_SOME = Script.of(
    _COMMON,
    """
local now, offset, limit = take(), tonumber(take()), tonumber(take())
local over = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', expires, '-inf', now)) do over[id] = true end
local found, passed = {}, 0
local from = next(over) and 0 or offset
for _, id in ipairs(redis.call('ZRANGE', latest, from, next(over) and -1 or offset + limit - 1)) do
  if not over[id] then
    passed = passed + 1
    if from + passed > offset and #found < limit then table.insert(found, {id, redis.call('HGET', texts, id)}) end
  end
end
return found
""",
)
_VECTORS = Script.of(
    _COMMON,
    """
local now, from, to = tonumber(take()), take(), take()
local ids, found = redis.call('ZRANGE', latest, from, to), {}
for _, id in ipairs(ids) do
  local till = redis.call('ZSCORE', expires, id)
  if not till or tonumber(till) > now then table.insert(found, {id, redis.call('HGET', vectors, id)}) end
end
return {#ids, found}
""",
)
_MEAN = Script.of(
    _COMMON,
    """
for i = 1, tonumber(take()) do
  local id, vector = take(), take()
  if redis.call('HEXISTS', texts, id) == 1 then redis.call('HSET', vectors, id, vector) end
end
""",
)
_REMOVE = Script.of(_COMMON, "return {remove(take()), redis.call('HLEN', texts)}")
_REMOVE_ALL = Script.of(
    _COMMON,
    """
local count = redis.call('HLEN', texts)
redis.call('UNLINK', texts, vectors, latest, expires)
return {count, 0}
""",
)
_REMOVE_EXPIRED = Script.of(
    _COMMON,
    """
local now, count = tonumber(take()), 0
for i = 1, tonumber(take()) do
  local id = take()
  local till = redis.call('ZSCORE', expires, id)
  if till and tonumber(till) <= now then count = count + remove(id) end
end
return {count, redis.call('HLEN', texts)}
""",
)
# of the platform
_LEAD_TO = Script.of(
    _COMMON,
    """
local user, agent, owned, expires_at = take(), take(), take(), take()
redis.call('SADD', P .. 'remembered-by:' .. user, agent)
if expires_at ~= '' then redis.call('ZADD', P .. 'expiring', expires_at, owned) end
""",
)
_AGENTS = Script.of(_COMMON, "return redis.call('SMEMBERS', P .. 'remembered-by:' .. take())")
_PART_FROM = Script.of(_COMMON, "redis.call('SREM', P .. 'remembered-by:' .. take(), take())")
_EXPIRING = Script.of(
    _COMMON, "return redis.call('ZRANGEBYSCORE', P .. 'expiring', '-inf', take(), 'LIMIT', 0, take())"
)
_EXPIRED = Script.of(
    _COMMON,
    """
local now = tonumber(take())
for i = 1, tonumber(take()) do
  local owned = take()
  local till = redis.call('ZSCORE', P .. 'expiring', owned)
  if till and tonumber(till) <= now then redis.call('ZREM', P .. 'expiring', owned) end
end
""",
)


class RedisMemories:
    """`Memories` of a platform on a server, which is asked when something is first needed."""

    def __init__(self, url: str, *, platform: str = "") -> None:
        """Raises `StoreError` when `url` cannot be read."""
        self._server = Server(url, platform=platform, subject="memories", version=VERSION)
        self._prefix = self._server.prefix()

    def add(self, owner: Owner, memory: Memory, vector: Vector, *, limit: int) -> None:
        text = as_json((memory.text, memory.tags, memory.created_at, memory.expires_at))
        expires_at = text_of(memory.expires_at)
        self._lead_to(owner, memory.id, expires_at)
        self._of(owner, _ADD, memory.id, text, _packed(vector), -memory.created_at, expires_at, limit)
        self._lead_to(owner, memory.id, expires_at)

    def memory(self, owner: Owner, id_: str, *, now: float) -> Memory | None:
        text = self._of(owner, _ONE, id_)
        found = None if text is None else _memory(id_, text)
        return found if found and (found.expires_at is None or found.expires_at > now) else None

    def memories(self, owner: Owner, *, now: float, limit: int, offset: int = 0) -> list[Memory]:
        return [_memory(id_.decode(), text) for id_, text in self._of(owner, _SOME, now, offset, limit)]

    def vectors(self, owner: Owner, *, now: float) -> list[tuple[str, Vector]]:
        return list(dict(self._all_vectors(owner, now)).items())

    def mean(self, owner: Owner, vectors: Mapping[str, Vector]) -> None:
        self._of(owner, _MEAN, *several((id_, _packed(vector)) for id_, vector in vectors.items()))

    def remove(self, owner: Owner, id_: str | None = None) -> int:
        return self._forget(owner, _REMOVE_ALL) if id_ is None else self._forget(owner, _REMOVE, id_)

    def remove_user(self, tenant: str, user: str) -> int:
        agents = self._run(_AGENTS, _user(tenant, user))
        return sum(self.remove(Owner(tenant=tenant, agent=agent.decode(), user=user)) for agent in agents)

    def prune(self, *, now: float) -> int:
        count = 0
        while found := self._run(_EXPIRING, now, PRUNED_AT_ONCE):
            for owner, ids in _by_owner(found).items():
                count += self._forget(owner, _REMOVE_EXPIRED, now, *each_alone(ids))
            self._run(_EXPIRED, now, *each_alone(found))
        return count

    def close(self) -> None:
        self._server.close()

    def _run(self, script: Script, *fields: Any) -> Any:
        return self._server.run(script, self._prefix, *fields)

    def _of(self, owner: Owner, script: Script, *fields: Any) -> Any:
        prefix = self._server.prefix("memories", owner.tenant, owner.agent, owner.user)
        return self._server.run(script, prefix, *fields)

    def _forget(self, owner: Owner, script: Script, *fields: Any) -> int:
        """How many went. Where none is left, nothing leads there any more."""
        count, left = self._of(owner, script, *fields)
        if not left:
            self._run(_PART_FROM, _user(owner.tenant, owner.user), owner.agent)
        return count

    def _lead_to(self, owner: Owner, id_: str, expires_at: Any) -> None:
        owned = as_json((owner.tenant, owner.agent, owner.user, id_))
        self._run(_LEAD_TO, _user(owner.tenant, owner.user), owner.agent, owned, expires_at)

    def _all_vectors(self, owner: Owner, now: float) -> Iterator[tuple[str, Vector]]:
        start, looked_at = 0, LOOKED_AT_ONCE
        while looked_at == LOOKED_AT_ONCE:
            looked_at, rows = self._of(owner, _VECTORS, now, start, start + LOOKED_AT_ONCE - 1)
            yield from ((id_.decode(), _unpacked(vector)) for id_, vector in rows)
            start += looked_at


def _user(tenant: str, user: str) -> str:
    return f"{quote(tenant, safe='')}/{quote(user, safe='')}"


def _packed(vector: Vector) -> bytes:
    return vector.model.encode() + b"\n" + vector.data


def _unpacked(value: bytes) -> Vector:
    model, _, data = value.partition(b"\n")
    return Vector(model=model.decode(), data=data)


def _memory(id_: str, text: bytes) -> Memory:
    told, tags, created_at, expires_at = _read_memory(text)
    return Memory(id=id_, text=told, tags=tags, created_at=created_at, expires_at=expires_at)


def _by_owner(owned: Sequence[bytes]) -> dict[Owner, list[str]]:
    found: defaultdict[Owner, list[str]] = defaultdict(list)
    for each in owned:
        tenant, agent, user, id_ = _read_owned(each)
        found[Owner(tenant=tenant, agent=agent, user=user)].append(id_)
    return found
