"""Pieces of Lua of which scripts of runs and threads are made: how they take values, and keep the lists right."""

from __future__ import annotations

COMMON = """
local P = KEYS[1]
local cursor = 0
local function take() cursor = cursor + 1; return ARGV[cursor] end
local function several(read) local found = {}; for i = 1, tonumber(take()) do found[i] = read() end; return found end
local function set_of(list) local found = {}; for _, each in ipairs(list) do found[each] = true end; return found end
local function key(kind, id) return P .. kind .. ':' .. id end
local function row(id)
  local found = redis.call('HMGET', key('run', id), 'state', 'wish', 'attempt', 'lease_by', 'lease_until', 'form',
    'standing')
  table.insert(found, 1, id)
  return found
end
local ENDED = set_of({'done', 'failed', 'limited', 'cancelled'})
"""
PLACING = """
local function displace(id, thread, agent)
  if redis.call('ZREM', P .. 'queued', id) == 1 then
    redis.call('ZREM', key('queued-for', agent), id)
    if redis.call('EXISTS', key('queued-for', agent)) == 0 then redis.call('SREM', P .. 'waited-for', agent) end
  end
  redis.call('ZREM', key('queued-on', thread), id)
  redis.call('ZREM', P .. 'leases', id)
  redis.call('ZREM', key('running-on', thread), id)
  redis.call('ZREM', P .. 'ended', id)
end
-- Into the lists of its state, and out of all others.
local function place(id)
  local state, number, thread, agent, parent, lease, ended = unpack(redis.call('HMGET', key('run', id), 'state',
    'number', 'thread', 'agent', 'parent', 'lease_until', 'ended_at'))
  displace(id, thread, agent)
  if state == 'queued' then
    if not parent then
      redis.call('ZADD', P .. 'queued', number, id)
      redis.call('ZADD', key('queued-for', agent), number, id)
      redis.call('SADD', P .. 'waited-for', agent)
    end
    redis.call('ZADD', key('queued-on', thread), number, id)
  elseif state == 'running' then
    redis.call('ZADD', P .. 'leases', lease, id)
    redis.call('ZADD', key('running-on', thread), number, id)
  end
  if ended then redis.call('ZADD', P .. 'ended', ended, id) end
end
"""
THREADS = """
local function use(id, tenant, at)
  local score = string.format('%.17g', -tonumber(at))
  redis.call('HSET', key('thread', id), 'used_at', at)
  redis.call('ZADD', P .. 'threads', score, id)
  redis.call('ZADD', key('threads-of', tenant), score, id)
end
local function add_thread(thread)
  if redis.call('EXISTS', key('thread', thread.id)) == 0 then
    redis.call('HSET', key('thread', thread.id), unpack(thread.fields))
    use(thread.id, thread.tenant, thread.used_at)
  end
end
local function take_thread()
  return {id = take(), tenant = take(), used_at = take(), fields = several(take)}
end
local function thread_row(id)
  local found = redis.call('HMGET', key('thread', id), 'tenant', 'user', 'agent', 'metadata', 'created_at', 'used_at')
  table.insert(found, 1, id)
  return found
end
local function drop_thread(id)
  local tenant = redis.call('HGET', key('thread', id), 'tenant')
  redis.call('ZREM', P .. 'threads', id)
  if tenant then redis.call('ZREM', key('threads-of', tenant), id) end
  redis.call('DEL', key('thread', id))
end
"""
WRITING = """
local function take_run()
  return {id = take(), state = take(), standing = take(), ended = take(), wish = take()}
end
-- By the worker that has it, else when nobody has. What has ended does not end anew; it is queued again where it was
-- not done or called off.
local function may_write(run, worker)
  local was, by = unpack(redis.call('HMGET', key('run', run.id), 'state', 'lease_by'))
  if not was then return false end
  if worker ~= '' then return was == 'running' and by == worker end
  if was == 'running' or was == 'done' or was == 'cancelled' then return false end
  return run.state == 'queued' or not ENDED[was]
end
local function put(at, field, value)
  if value and value ~= '' then redis.call('HSET', at, field, value) else redis.call('HDEL', at, field) end
end
-- A worker has not seen wishes made since it looked, and takes away what it fulfilled.
local function left_of(wish, run)
  if ENDED[run.state] or (run.state == 'paused' and wish == 'pause') then return false end
  return wish
end
local function write_run(run, worker)
  local at = key('run', run.id)
  redis.call('HSET', at, 'state', run.state, 'standing', run.standing)
  put(at, 'ended_at', run.ended)
  put(at, 'wish', worker == '' and run.wish or left_of(redis.call('HGET', at, 'wish'), run))
  if run.state ~= 'running' then
    redis.call('HDEL', at, 'lease_by')
    redis.call('HSET', at, 'lease_until', '0')
  end
  place(run.id)
end
local function take_event() return {run = take(), seq = take(), rest = take()} end
local function add_event(event)
  local at, seq = key('events', event.run), event.seq
  if seq == '0' then
    local last = redis.call('ZREVRANGE', at, 0, 0, 'WITHSCORES')
    seq = string.format('%.0f', tonumber(last[2] or 0) + 1)
  else
    redis.call('ZREMRANGEBYSCORE', at, seq, seq)
  end
  redis.call('ZADD', at, seq, seq .. '\\n' .. event.rest)
end
"""
FORGETTING = """
local function forget(id)
  local tenant, thread, agent, parent = unpack(redis.call('HMGET', key('run', id), 'tenant', 'thread', 'agent',
    'parent'))
  redis.call('UNLINK', key('run', id), key('events', id), key('receipts', id))
  if not tenant then return end
  displace(id, thread, agent)
  redis.call('ZREM', P .. 'runs', id)
  redis.call('ZREM', key('runs-of', tenant), id)
  redis.call('ZREM', key('on', thread), id)
  if parent then
    redis.call('ZREM', key('below', parent), id)
    if redis.call('HINCRBY', P .. 'belows', thread, -1) <= 0 then redis.call('HDEL', P .. 'belows', thread) end
  end
end
"""
