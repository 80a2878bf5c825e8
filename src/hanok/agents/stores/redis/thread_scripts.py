"""The Lua of threads, and of what is forgotten."""

from __future__ import annotations

from hanok.agents.stores.redis.run_pieces import COMMON, FORGETTING, PLACING, THREADS
from hanok.agents.stores.redis.server import Script

ADD_THREAD = Script.of(COMMON, THREADS, "local thread = take_thread() add_thread(thread) return thread_row(thread.id)")
CHANGE_THREAD = Script.of(
    COMMON,
    THREADS,
    """
local id, metadata, used_at = take(), take(), take()
local tenant = redis.call('HGET', key('thread', id), 'tenant')
if not tenant then return end
if metadata ~= '' then redis.call('HSET', key('thread', id), 'metadata', metadata) end
if used_at ~= '' then use(id, tenant, used_at) end
""",
)
REMOVE_THREAD = Script.of(
    COMMON,
    PLACING,
    THREADS,
    FORGETTING,
    """
local id = take()
for _, run in ipairs(redis.call('ZRANGE', key('on', id), 0, -1)) do forget(run) end
drop_thread(id)
""",
)
ONE_THREAD = Script.of(COMMON, THREADS, "return thread_row(take())")
SOME_THREADS = Script.of(
    COMMON,
    THREADS,
    """
local list, found = take(), {}
for i, id in ipairs(redis.call('ZRANGE', P .. list, take(), take())) do
  found[i] = {redis.call('HEXISTS', P .. 'belows', id), unpack(thread_row(id))}
end
return found
""",
)
PRUNE_RUNS = Script.of(
    COMMON,
    PLACING,
    FORGETTING,
    """
local before, agent, offset, count = take(), take(), take(), take()
local found, kept = redis.call('ZRANGEBYSCORE', P .. 'ended', '-inf', '(' .. before, 'LIMIT', offset, count), 0
local function forget_all(id)
  local below = redis.call('ZRANGE', key('below', id), 0, -1)
  forget(id)
  for _, each in ipairs(below) do forget_all(each) end
end
for _, id in ipairs(found) do
  local tenant, whose, parent = unpack(redis.call('HMGET', key('run', id), 'tenant', 'agent', 'parent'))
  if tenant then
    local stays = parent and redis.call('EXISTS', key('run', parent)) == 1
    if stays or (agent ~= '' and whose ~= agent) then kept = kept + 1 else forget_all(id) end
  end
end
return {#found, kept}
""",
)
PRUNE_THREADS = Script.of(
    COMMON,
    THREADS,
    """
local before, agent, offset, count = take(), take(), take(), take()
local earlier = '(' .. string.format('%.17g', -tonumber(before))
local found, gone = redis.call('ZRANGEBYSCORE', P .. 'threads', earlier, '+inf', 'LIMIT', offset, count), {}
for _, id in ipairs(found) do
  local whose = redis.call('HGET', key('thread', id), 'agent')
  if redis.call('EXISTS', key('on', id)) == 0 and (agent == '' or whose == agent) then
    drop_thread(id)
    table.insert(gone, id)
  end
end
return {#found, gone}
""",
)
