"""The two Lua scripts of the Redis store. Each runs as one atomic step on the server.

Keys, all with the platform's hash tag, so that a cluster keeps them in one slot:

    hanok:{platform}:account:<account>   hash: spent, held, open; h:<holder> (part of held), t:<holder> (told)
    hanok:{platform}:holder:<holder>     hash: seq, life, until_charge
    hanok:{platform}:names:<holder>      set: the account keys that have fields of this holder
    hanok:{platform}:leases              sorted set: holders by the time their lease lapses
    hanok:{platform}:born                when this data began
    hanok:{platform}:settling            there while a loss of data settles

Times are the server's, in milliseconds. Amounts are kept by HINCRBY, exact to 64 bits; Lua's numbers are exact to
2^53, so a limit above that is held with 1024 to spare.
"""

_SHARED = """
local prefix, now = ARGV[1], redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local KEPT = 90 * 86400000

-- What a holder holds goes back; `told` too when it will not be heard of again.
local function free(who, for_good)
  local names, record = prefix .. 'names:' .. who, prefix .. 'holder:' .. who
  for _, key in ipairs(redis.call('SMEMBERS', names)) do
    local mine = redis.call('HGET', key, 'h:' .. who)
    if mine then
      redis.call('HINCRBY', key, 'held', '-' .. mine)
      redis.call('HDEL', key, 'h:' .. who)
    end
    if for_good then redis.call('HDEL', key, 't:' .. who) end
  end
  if for_good then redis.call('DEL', names) end
  redis.call('ZREM', prefix .. 'leases', who)
  if redis.call('EXISTS', record) == 1 then redis.call('HINCRBY', record, 'life', 1) end
end
"""

RELEASE = (
    _SHARED
    + """
free(ARGV[2], true)
return 1
"""
)

# ARGV: prefix, holder, a heading, a line for each account to tell about, a line for each want. Words are parted by
# spaces ("-": none), since clients and servers pay for each argument. KEYS: holder, names, leases, born, settling, then
# an account for each line, then the accounts to forget. `late`, `lapsed` and `lost` say that nothing was done.
TELL = (
    _SHARED
    + """
local function words(line, from)
  local found, count = {}, 0
  for word in string.gmatch(line, '%S+') do
    count = count + 1
    found[count] = (count >= from and tonumber(word)) or word
  end
  return unpack(found)
end

local holder = ARGV[2]
local until_charge, seq, acked, life, lease, settle, restoring, told_lines, wants = words(ARGV[3], 2)
local me, told_by_me = 'h:' .. holder, 't:' .. holder
local EXACT = 9007199254740991

local record = redis.call('HMGET', KEYS[1], 'seq', 'life')
local seen, known = tonumber(record[1] or 0), tonumber(record[2] or 0)
if seq <= seen then return {'late'} end
if known > life then return {'lapsed', known} end
if seen < acked and restoring == 0 then  -- this data is younger than what we told the holder: some was lost
  local settling = redis.call('EXISTS', KEYS[5]) == 1
  local born = tonumber(redis.call('GET', KEYS[4]) or now)
  if not record[1] and not settling and now - born > lease then  -- not heard of for long: others drew
    redis.call('HSET', KEYS[1], 'life', life + 1, 'seq', acked)
    redis.call('PEXPIRE', KEYS[1], KEPT)
    return {'lapsed', life + 1}
  end
  if settle > 0 and not settling then redis.call('SET', KEYS[5], 1, 'PX', settle) end
  redis.call('SET', KEYS[4], now, 'NX')
  return {'lost'}
end

redis.call('SET', KEYS[4], now, 'NX')
redis.call('HSET', KEYS[1], 'seq', seq, 'life', life)
if until_charge ~= '-' then redis.call('HSET', KEYS[1], 'until_charge', until_charge) end
redis.call('PEXPIRE', KEYS[1], KEPT)
redis.call('ZADD', KEYS[3], now + lease, holder)
for _, who in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. string.format('%.0f', now))) do
  if who ~= holder then free(who, false) end
end
local settling = math.max(0, redis.call('PTTL', KEYS[5]))

local function whole(number) return string.format('%.0f', number) end

local function keep(key, until_ms)  -- never shortens, and an account in use lives a minute at least
  if until_ms == '-' or redis.call('EXISTS', key) == 0 then return end
  local left = math.max(until_ms - now, 60000)
  if redis.call('PTTL', key) < left then redis.call('PEXPIRE', key, whole(left)) end
end

local function hold(key, mine)
  local was = tonumber(redis.call('HGET', key, me) or 0)
  if mine == was then return end
  redis.call('HINCRBY', key, 'held', whole(mine - was))
  if mine == 0 then redis.call('HDEL', key, me) else redis.call('HSET', key, me, whole(mine)) end
  redis.call('SADD', KEYS[2], key)
end

local function spend(key, total, delta)  -- `total` counts once what is told twice; `delta` is for one who is not known
  local told = redis.call('HGET', key, told_by_me)
  local amount = told and (total - tonumber(told)) or delta
  if amount > 0 then
    redis.call('HINCRBY', key, 'spent', whole(amount))
    redis.call('HSET', key, told_by_me, whole(total))
    redis.call('SADD', KEYS[2], key)
  end
end

local function draw(key, need, wish, limit, opening, lasts)
  if lasts == 1 and settling > 0 then  -- not opened: its past is read anew, when all have told what they know
    local stands = redis.call('HMGET', key, 'spent', 'held')
    return table.concat({'0', stands[1] or '0', stands[2] or '0', settling}, ' ')
  end
  if redis.call('HSETNX', key, 'open', 1) == 1 then
    redis.call('HINCRBY', key, 'spent', opening)
    redis.call('HINCRBY', key, 'held', 0)
  end
  local stands = redis.call('HMGET', key, 'spent', 'held', me)
  local mine = tonumber(stands[3] or 0)
  local left = limit - tonumber(stands[1]) - tonumber(stands[2])
  if limit > EXACT then left = left - 1024 end
  local amount = math.min(wish, left, EXACT - mine)
  if amount < need or amount < 0 then amount = 0 end
  hold(key, mine + amount)
  stands = redis.call('HMGET', key, 'spent', 'held')
  return table.concat({whole(amount), stands[1], stands[2], '0'}, ' ')
end

local answer = {'done', whole(now)}
for index = 1, told_lines do
  local key = KEYS[5 + index]
  local until_ms, mine, total, delta = words(ARGV[3 + index], 1)
  hold(key, mine)
  spend(key, total, delta)
  keep(key, until_ms)
end
for index = told_lines + 1, told_lines + wants do
  local key = KEYS[5 + index]
  local opening, until_ms, need, wish, limit, lasts = words(ARGV[3 + index], 2)
  answer[#answer + 1] = draw(key, need, wish, limit, opening, lasts)
  keep(key, until_ms)
end
for index = 6 + told_lines + wants, #KEYS do
  hold(KEYS[index], 0)
  redis.call('HDEL', KEYS[index], told_by_me)
  redis.call('SREM', KEYS[2], KEYS[index])
end
redis.call('PEXPIRE', KEYS[2], KEPT)
return answer
"""
)
