"""The Lua of checkpoints. Each script is one step on the server; `NAMESPACE` is a graph's, empty but for subgraphs.

The key of what tasks wrote is `NAMESPACE:ID`: ids have no colon, so it can be read from its end.
"""

from __future__ import annotations

from hanok.agents.stores.redis.server import Script

_COMMON = """
local T = KEYS[1]
local cursor = 0
local function take() cursor = cursor + 1; return ARGV[cursor] end
local function several(read) local found = {}; for i = 1, tonumber(take()) do found[i] = read() end; return found end
local function key(kind, namespace) return T .. kind .. ':' .. namespace end
local function written(namespace, id) return namespace .. ':' .. id end
local function latest(namespace)
  return redis.call('ZREVRANGEBYLEX', key('ids', namespace), '+', '-', 'LIMIT', 0, 1)[1]
end
local KINDS = {'checkpoints', 'parents', 'facts', 'ids'}
local function read(namespace, id)
  local checkpoint = redis.call('HGET', key('checkpoints', namespace), id)
  if not checkpoint then return false end
  return {id, checkpoint, redis.call('HGET', key('parents', namespace), id),
    redis.call('HGETALL', T .. 'writes:' .. written(namespace, id))}
end
local function put(namespace, id, parent, checkpoint, facts)
  redis.call('ZADD', T .. 'namespaces', 0, namespace)
  redis.call('ZADD', key('ids', namespace), 0, id)
  redis.call('HSET', key('checkpoints', namespace), id, checkpoint)
  redis.call('HSET', key('facts', namespace), id, facts)
  redis.call('HSET', key('parents', namespace), id, parent)
end
local function put_writes(namespace, id, command, writes)
  redis.call('SADD', T .. 'written', written(namespace, id))
  for i = 1, #writes, 2 do redis.call(command, T .. 'writes:' .. written(namespace, id), writes[i], writes[i + 1]) end
end
local function drop_writes(where)
  redis.call('UNLINK', T .. 'writes:' .. where)
  redis.call('SREM', T .. 'written', where)
end
"""
_STEPS = """
local function steps() return tonumber(redis.call('GET', T .. 'steps') or 0) end
-- Fewer than the caller has seen: the server came back without the last, on which what is to be written rests.
if steps() < tonumber(take()) then return 0 end
"""
PUT = Script.of(_COMMON, _STEPS, "put(take(), take(), take(), take(), take()) return redis.call('INCR', T .. 'steps')")
PUT_WRITES = Script.of(
    _COMMON, _STEPS, "put_writes(take(), take(), take(), several(take)) return redis.call('INCR', T .. 'steps')"
)
GET = Script.of(
    _COMMON,
    """
local namespace, id = take(), take()
if id == '' then id = latest(namespace) end
return {tonumber(redis.call('GET', T .. 'steps') or 0), id and read(namespace, id) or false}
""",
)
ABOVE = Script.of(
    _COMMON,
    """
local namespace, id, missing = take(), take(), {}
for _, channel in ipairs(several(take)) do missing[channel] = true end
if id == '' then id = latest(namespace) end
local found, seen = {}, {}
local function parent_of(each) return redis.call('HGET', key('parents', namespace), each) or '' end
local above = id and parent_of(id) or ''
if id then seen[id] = true end
while above ~= '' and not seen[above] and next(missing) do
  local one = read(namespace, above)
  if not one then break end
  local needed = false
  for _, channel in ipairs(cjson.decode(redis.call('HGET', key('facts', namespace), above)).whole) do
    needed = needed or missing[channel]
    missing[channel] = nil
  end
  table.insert(found, {needed and one[2] or '', one[4]})
  seen[above] = true
  above = parent_of(above)
end
return found
""",
)
NAMESPACES = Script.of(_COMMON, "return redis.call('ZRANGE', T .. 'namespaces', 0, -1)")
LIST = Script.of(
    _COMMON,
    """
local namespace, before, most = take(), take(), take()
local found, bound = {}, before == '' and '+' or '(' .. before
for i, id in ipairs(redis.call('ZREVRANGEBYLEX', key('ids', namespace), bound, '-', 'LIMIT', 0, most)) do
  found[i] = read(namespace, id)
end
return found
""",
)
COUNT = Script.of(
    _COMMON,
    """
local count = 0
for _, namespace in ipairs(redis.call('ZRANGE', T .. 'namespaces', 0, -1)) do
  count = count + redis.call('ZCARD', key('ids', namespace))
end
return count
""",
)
SHAPE = Script.of(
    _COMMON,
    """
local namespace = take()
local last = latest(namespace)
return {redis.call('HGETALL', key('parents', namespace)), redis.call('HGETALL', key('facts', namespace)),
  last and redis.call('HGET', key('checkpoints', namespace), last) or ''}
""",
)
DELETE = Script.of(
    _COMMON,
    """
local namespace, ids, gone = take(), several(take), {}
for _, id in ipairs(ids) do
  gone[id] = true
  redis.call('HDEL', key('checkpoints', namespace), id)
  redis.call('HDEL', key('facts', namespace), id)
  redis.call('HDEL', key('parents', namespace), id)
  redis.call('ZREM', key('ids', namespace), id)
  drop_writes(written(namespace, id))
end
local left = redis.call('HGETALL', key('parents', namespace))
for i = 1, #left, 2 do
  if gone[left[i + 1]] then redis.call('HSET', key('parents', namespace), left[i], '') end
end
if #left == 0 then redis.call('ZREM', T .. 'namespaces', namespace) end
""",
)
REMOVE = Script.of(
    _COMMON,
    """
for _, where in ipairs(redis.call('SMEMBERS', T .. 'written')) do drop_writes(where) end
for _, namespace in ipairs(redis.call('ZRANGE', T .. 'namespaces', 0, -1)) do
  for _, kind in ipairs(KINDS) do redis.call('UNLINK', key(kind, namespace)) end
end
redis.call('DEL', T .. 'namespaces', T .. 'steps')
""",
)
SOME = Script.of(
    _COMMON,
    """
local namespace, found = take(), {}
for i, id in ipairs(several(take)) do
  local one = read(namespace, id)
  if one then table.insert(one, redis.call('HGET', key('facts', namespace), id)); table.insert(found, one) end
end
return found
""",
)
BEGIN = Script.of(
    _COMMON,
    """
local function take_one()
  return {namespace = take(), id = take(), parent = take(), checkpoint = take(), facts = take(), writes = several(take)}
end
for _, one in ipairs(several(take_one)) do
  put(one.namespace, one.id, one.parent, one.checkpoint, one.facts)
  if #one.writes > 0 then put_writes(one.namespace, one.id, 'HSET', one.writes) end
end
""",
)
