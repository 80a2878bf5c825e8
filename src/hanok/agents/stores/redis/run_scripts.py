"""The Lua of runs: they are added, listed, and taken under a lease. Each script is one step on the server.

Times are passed on as the texts in which they came: Lua would round them.
"""

from __future__ import annotations

from hanok.agents.stores.redis.run_pieces import COMMON, PLACING, THREADS
from hanok.agents.stores.redis.server import Script

ADD_RUN = Script.of(
    COMMON,
    PLACING,
    THREADS,
    """
local queue, id, tenant, thread, parent, created_at = take(), take(), take(), take(), take(), take()
local fields, threads = several(take), several(take_thread)
if redis.call('EXISTS', key('run', id)) == 1 then return row(id) end
if queue ~= '' and redis.call('ZCARD', P .. 'queued') >= tonumber(queue) then return 'full' end
for _, each in ipairs(threads) do add_thread(each) end
local number = redis.call('INCR', P .. 'number')
redis.call('HSET', key('run', id), 'number', number, unpack(fields))
redis.call('ZADD', P .. 'runs', number, id)
redis.call('ZADD', key('runs-of', tenant), number, id)
redis.call('ZADD', key('on', thread), number, id)
if parent ~= '' then
  redis.call('ZADD', key('below', parent), number, id)
  redis.call('HINCRBY', P .. 'belows', thread, 1)
end
place(id)
local whose, used_at = unpack(redis.call('HMGET', key('thread', thread), 'tenant', 'used_at'))
if whose and tonumber(used_at) < tonumber(created_at) then use(thread, whose, created_at) end
return row(id)
""",
)
ONE_RUN = Script.of(COMMON, "return row(take())")
NUMBER = Script.of(COMMON, "return redis.call('HGET', key('run', take()), 'number')")
SOME_RUNS = Script.of(
    COMMON,
    """
local list, before, looked_at, wanted = take(), take(), take(), tonumber(take())
local tenant, agent, thread, parent, states = take(), take(), take(), take(), set_of(several(take))
local function fits(id)
  local run = redis.call('HMGET', key('run', id), 'tenant', 'agent', 'thread', 'parent', 'state')
  return (tenant == '' or run[1] == tenant) and (agent == '' or run[2] == agent) and (thread == '' or run[3] == thread)
    and (parent == '*' or (run[4] or '') == parent) and (not next(states) or states[run[5]])
end
local found, last = {}, false
local list_ = redis.call('ZREVRANGEBYSCORE', P .. list, before, '-inf', 'WITHSCORES', 'LIMIT', 0, looked_at)
for i = 1, #list_, 2 do
  if #found == wanted then break end
  last = list_[i + 1]
  if fits(list_[i]) then table.insert(found, row(list_[i])) end
end
return {last, found}
""",
)
CLAIM = Script.of(
    COMMON,
    PLACING,
    """
local worker, now, till, most, by_id = take(), tonumber(take()), take(), tonumber(take()), take() == '1'
local ids, by_agent, agents = several(take), take() == '1', nil
if by_agent then agents = set_of(several(take)) end

local function is_over(id) return tonumber(redis.call('ZSCORE', P .. 'leases', id) or 0) <= now end
local function read(id)
  local run = redis.call('HMGET', key('run', id), 'state', 'number', 'thread', 'path', 'agent', 'parent')
  return {id = id, state = run[1], number = tonumber(run[2]), thread = run[3], path = run[4], agent = run[5],
    parent = run[6]}
end
local function is_above(other, run)
  local path = redis.call('HGET', key('run', other), 'path')
  return path and string.sub(run.path, 1, #path + 1) == path .. '/'
end
-- Another of its thread (but those above it) runs, or is to run before it: what was begun comes first, then the oldest.
local function is_hindered(run)
  local running = redis.call('ZRANGE', key('running-on', run.thread), 0, -1, 'WITHSCORES')
  for i = 1, #running, 2 do
    local other, number = running[i], tonumber(running[i + 1])
    local first = run.state == 'queued' or number < run.number or not is_over(other)
    if first and other ~= run.id and not is_above(other, run) then return true end
  end
  if run.state ~= 'queued' then return false end
  local _, depth = string.gsub(run.path, '/', '')
  local older = redis.call('ZRANGEBYSCORE', key('queued-on', run.thread), '-inf', '(' .. run.number, 'LIMIT', 0,
    depth + 1)
  for _, other in ipairs(older) do
    if not is_above(other, run) then return true end
  end
  return false
end

-- The runs that are looked at, the oldest first: those of these ids, or those whose lease is over and those that wait.
local function some(list, wanted)
  local found = {}
  for _, id in ipairs(list) do
    local run = read(id)
    if run.state and wanted(run) then table.insert(found, run) end
  end
  table.sort(found, function(one, other) return one.number < other.number end)
  return found
end
local function may_be_taken(run) return run.state == 'queued' or (run.state == 'running' and is_over(run.id)) end
local listed
if by_id then
  listed = some(ids, may_be_taken)
else
  listed = some(redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', string.format('%.17g', now)),
    function(run) return not run.parent end)
end
-- Those that wait come from lists, a page at a time: of each known agent, or of all.
local queues, used = {}, 1
local function head(queue)
  if queue.at > #queue.page then
    queue.page = redis.call('ZRANGE', queue.list, queue.offset, queue.offset + 49, 'WITHSCORES')
    queue.offset, queue.at = queue.offset + 50, 1
  end
  return tonumber(queue.page[queue.at + 1])
end
local function add_queue(list) table.insert(queues, {list = list, page = {}, offset = 0, at = 1}) end
if not by_id and not by_agent then add_queue(P .. 'queued') end
if not by_id and by_agent then
  for agent in pairs(agents) do add_queue(key('queued-for', agent)) end
end
local function next_run()
  local first, from, least = listed[used], nil, math.huge
  for _, queue in ipairs(queues) do
    local number = head(queue)
    if number and number < least then from, least = queue, number end
  end
  if first and first.number < least then
    used = used + 1
    return first
  end
  if not from then return nil end
  from.at = from.at + 2
  return read(from.page[from.at - 2])
end

local chosen, busy = {}, {}
while #chosen < most do
  local run = next_run()
  if not run then break end
  local known = not by_agent or agents[run.agent]
  local behind = run.state == 'queued' and not run.parent and busy[run.thread]
  if known and not behind then
    if is_hindered(run) then
      if run.state == 'queued' and not run.parent then busy[run.thread] = true end
    else
      table.insert(chosen, run.id)
    end
  end
end

local found = {}
for i, id in ipairs(chosen) do
  local had = redis.call('HGET', key('run', id), 'lease_by')
  redis.call('HSET', key('run', id), 'state', 'running', 'lease_by', worker, 'lease_until', till)
  redis.call('HINCRBY', key('run', id), 'attempt', 1)
  place(id)
  found[i] = {had, unpack(row(id))}
end
return found
""",
)
STRANGERS = Script.of(
    COMMON,
    """
local now, most, known = take(), tonumber(take()), set_of(several(take))
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '(' .. now, '+inf')) do
  known[redis.call('HGET', key('run', id), 'agent')] = true
end
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now)) do
  local number, agent, parent = unpack(redis.call('HMGET', key('run', id), 'number', 'agent', 'parent'))
  if number and not parent and not known[agent] then table.insert(found, {tonumber(number), id}) end
end
for _, agent in ipairs(redis.call('SMEMBERS', P .. 'waited-for')) do
  if not known[agent] then
    local page = redis.call('ZRANGE', key('queued-for', agent), 0, most - 1, 'WITHSCORES')
    for i = 1, #page, 2 do table.insert(found, {tonumber(page[i + 1]), page[i]}) end
  end
end
table.sort(found, function(one, other) return one[1] < other[1] end)
local ids = {}
for i = 1, math.min(most, #found) do ids[i] = found[i][2] end
return ids
""",
)
RENEW = Script.of(
    COMMON,
    """
local worker, till, found = take(), take(), {}
for _, id in ipairs(several(take)) do
  local state, by, wish = unpack(redis.call('HMGET', key('run', id), 'state', 'lease_by', 'wish'))
  if state == 'running' and by == worker then
    redis.call('HSET', key('run', id), 'lease_until', till)
    redis.call('ZADD', P .. 'leases', till, id)
    table.insert(found, {id, wish})
  end
end
return found
""",
)
LEASED = Script.of(
    COMMON,
    """
local found, seen = {}, {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '(0', '+inf')) do
  local by = redis.call('HGET', key('run', id), 'lease_by')
  if by and not seen[by] then table.insert(found, by); seen[by] = true end
end
return found
""",
)
RELEASE = Script.of(
    COMMON,
    """
local dead, count = set_of(several(take)), 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '(0', '+inf')) do
  if dead[redis.call('HGET', key('run', id), 'lease_by')] then
    redis.call('HSET', key('run', id), 'lease_until', '0')
    redis.call('ZADD', P .. 'leases', 0, id)
    count = count + 1
  end
end
return count
""",
)
