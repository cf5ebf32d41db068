// One hash a record, so that every script touches one key and runs on a cluster too:
//   v version · d the record as JSON · x deleted for good
//   o, u, l owner, end (epoch ms of Redis) and life (ms) of the lease
//   h set while its owner may hold a response not yet written
// And one hash a set, with one field for each member: its end (epoch ms of Redis), a space, and its value as JSON.

/** A script. Times are Redis' own: the clocks of processes differ. */
export interface Script {
  readonly source: string
}

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`

// The ms that are left of a lease. If more are left than its life, the clock has been set back since, or it is another
// server's after a failover: the lease begins anew then, because its owner, if alive, will extend it.
const LEFT = `
local function left (ends, life)
  ends, life = tonumber(ends) or 0, tonumber(life)
  if life and ends > now + life then
    ends = now + life
    redis.call('HSET', KEYS[1], 'u', ends)
  end
  return ends - now
end`

/**
 * ARGV: expected version or '', version, data, ttl in ms, '1': only if there is no lease. Returns 1 if it was written.
 */
export const SET: Script = {
  source: `${NOW}${LEFT}
local found = redis.call('HMGET', KEYS[1], 'v', 'x', 'u', 'l')
if found[2] then return 0 end
if ARGV[5] == '1' and left(found[3], found[4]) > 0 then return 0 end
if ARGV[1] == '0' and found[1] then return 0 end
if ARGV[1] ~= '' and ARGV[1] ~= '0' and found[1] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'd', ARGV[3])
redis.call('HDEL', KEYS[1], 'o', 'u', 'l', 'h')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1`
}

/** The data, deleted in the same step. */
export const CONSUME: Script = {
  source: `
local data = redis.call('HGET', KEYS[1], 'd')
if data then redis.call('DEL', KEYS[1]) end
return data`
}

/** ARGV: ttl in ms. Moves the end only further away. */
export const TOUCH: Script = {
  source: `
if redis.call('HEXISTS', KEYS[1], 'd') == 0 then return 0 end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1`
}

/** ARGV: life of the tombstone in ms. The data that was there. */
export const DELETE: Script = {
  source: `
local data = redis.call('HGET', KEYS[1], 'd')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'x', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return data`
}

/**
 * ARGV: owner, life of the lease in ms (0 gives it up), version or '', '1' to take over from an owner that no longer
 * extends it. Returns state, data, and for 'busy' the ms that are left.
 */
export const ACQUIRE: Script = {
  source: `${NOW}${LEFT}
local found = redis.call('HMGET', KEYS[1], 'v', 'd', 'o', 'u', 'l', 'h')
if not found[2] then return {'gone'} end
if ARGV[3] ~= '' and found[1] ~= ARGV[3] then return {'newer', found[2]} end
local others = found[3] and found[3] ~= ARGV[1]
local wait = others and left(found[4], found[5]) or 0
if wait > 0 then return {'busy', found[2], wait} end
if others and found[6] and ARGV[4] ~= '1' then return {'busy', found[2], 0} end
redis.call('HSET', KEYS[1], 'o', ARGV[1], 'u', now + ARGV[2], 'l', ARGV[2])
if ARGV[2] == '0' then redis.call('HDEL', KEYS[1], 'h') else redis.call('HSET', KEYS[1], 'h', '1') end
if others then return {'abandoned', found[2]} end
return {'begun', found[2]}`
}

/** ARGV: owner, version or '' (release alone), data, ttl in ms. 1 if the lease was the caller's. */
export const FINISH: Script = {
  source: `
local owner = redis.call('HGET', KEYS[1], 'o')
if owner ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'o', 'u', 'l', 'h')
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'v', ARGV[2], 'd', ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return 1`
}

const IS_OVER = `
local function isOver (text) return tonumber(string.match(text, '^%d+') or 0) <= now end`

/**
 * ARGV: member, value, ttl in ms, '1': only if it has the member. Returns 1 if it was written. Drops a few of the
 * members whose time is over, found at random (Redis 6.2): so at most about a third of a set is of that kind.
 */
export const ADD_MEMBER: Script = {
  source: `${NOW}${IS_OVER}
if ARGV[4] == '1' then
  local found = redis.call('HGET', KEYS[1], ARGV[1])
  if not found or isOver(found) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now + ARGV[3]) .. ARGV[2])
local some = redis.pcall('HRANDFIELD', KEYS[1], 3, 'WITHVALUES')
for i = 1, #some, 2 do if isOver(some[i + 1]) then redis.call('HDEL', KEYS[1], some[i]) end end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1`
}

/** ARGV: members, at least one. */
export const REMOVE_MEMBERS: Script = {
  source: `
return redis.call('HDEL', KEYS[1], unpack(ARGV))`
}

/** ARGV: cursor ('0' begins), how many about. The next cursor ('0' at the end), and members and values by turns. */
export const MEMBERS: Script = {
  source: `${NOW}${IS_OVER}
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local found = {}
for i = 1, #page[2], 2 do
  if not isOver(page[2][i + 1]) then
    found[#found + 1] = page[2][i]
    found[#found + 1] = string.match(page[2][i + 1], '^%d+ (.*)$') or ''
  end
end
return {page[1], found}`
}
