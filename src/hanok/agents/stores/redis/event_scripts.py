"""The Lua of what runs write: states, wishes, answers, events, receipts. Each looks whether it may, then writes."""

from __future__ import annotations

from hanok.agents.stores.redis.run_pieces import COMMON, PLACING, WRITING
from hanok.agents.stores.redis.server import Script

SAVE = Script.of(
    COMMON,
    PLACING,
    WRITING,
    """
local worker, run, events = take(), take_run(), several(take_event)
if not may_write(run, worker) then return 0 end
write_run(run, worker)
for _, event in ipairs(events) do add_event(event) end
return 1
""",
)
ANSWER = Script.of(
    COMMON,
    PLACING,
    WRITING,
    """
local was, run, events = take(), take_run(), several(take_event)
local state, standing = unpack(redis.call('HMGET', key('run', run.id), 'state', 'standing'))
if state ~= 'waiting' or standing ~= was then return 0 end
run.wish = redis.call('HGET', key('run', run.id), 'wish')
write_run(run, '')
for _, event in ipairs(events) do add_event(event) end
return 1
""",
)
WISH = Script.of(
    COMMON,
    """
local id, wish = take(), take()
local state, ended, was = unpack(redis.call('HMGET', key('run', id), 'state', 'ended_at', 'wish'))
if not state or ended or (wish == 'pause' and was == 'cancel') then return end
if wish == '' then redis.call('HDEL', key('run', id), 'wish') else redis.call('HSET', key('run', id), 'wish', wish) end
""",
)
APPEND = Script.of(
    COMMON,
    PLACING,
    WRITING,
    """
local function take_receipt() return {run = take(), key = take(), value = take()} end
local function take_fold() return {run = take(), first = take(), last = take()} end
local worker, runs, folds = take(), several(take_run), several(take_fold)
local events, receipts = several(take_event), several(take_receipt)
local lost, looked = {}, {}
local function look(id)
  if looked[id] == nil then
    local state, by = unpack(redis.call('HMGET', key('run', id), 'state', 'lease_by'))
    looked[id] = true
    if state ~= 'running' or by ~= worker then lost[id] = true end
  end
end
if worker ~= '' then
  for _, event in ipairs(events) do look(event.run) end
  for _, receipt in ipairs(receipts) do look(receipt.run) end
end
for _, run in ipairs(runs) do
  if not lost[run.id] then
    if may_write(run, worker) then write_run(run, worker) else lost[run.id] = true end
  end
end
for _, fold in ipairs(folds) do
  if not lost[fold.run] then
    for _, event in ipairs(redis.call('ZRANGEBYSCORE', key('events', fold.run), fold.first, fold.last)) do
      if string.find(event, '^%d+\\ntoken\\n') then redis.call('ZREM', key('events', fold.run), event) end
    end
  end
end
for _, event in ipairs(events) do
  if not lost[event.run] then add_event(event) end
end
for _, receipt in ipairs(receipts) do
  if not lost[receipt.run] then redis.call('HSET', key('receipts', receipt.run), receipt.key, receipt.value) end
end
local found = {}
for id in pairs(lost) do table.insert(found, id) end
return found
""",
)
EVENTS = Script.of(
    COMMON,
    """
local run, after, most, types = take(), take(), tonumber(take()), set_of(several(take))
local at = key('events', run)
if not next(types) then return redis.call('ZRANGEBYSCORE', at, '(' .. after, '+inf', 'LIMIT', 0, most) end
local found, offset = {}, 0
while #found < most do
  local page = redis.call('ZRANGEBYSCORE', at, '(' .. after, '+inf', 'LIMIT', offset, 500)
  if #page == 0 then break end
  for _, event in ipairs(page) do
    if #found < most and types[string.match(event, '^%d+\\n([^\\n]*)\\n')] then table.insert(found, event) end
  end
  offset = offset + #page
end
return found
""",
)
PAST = Script.of(
    COMMON,
    """
local run = take()
return {redis.call('ZREVRANGE', key('events', run), 0, 0, 'WITHSCORES')[2] or '0',
  redis.call('HGETALL', key('receipts', run))}
""",
)
LAST_SEQ = Script.of(
    COMMON, "return tonumber(redis.call('ZREVRANGE', key('events', take()), 0, 0, 'WITHSCORES')[2] or 0)"
)
