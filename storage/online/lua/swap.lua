-- ARGV: generation, fence, meta
local old = redis.call('HMGET', KEYS[1], 'generation', 'fence', 'meta')
if old[1] and not below(old[2], ARGV[2]) then
	if old[1] == ARGV[1] and old[2] == ARGV[2] and old[3] == ARGV[3] then
		return { 'ok' }
	end
	return { 'fenced', old[2] }
end
local r = record(ARGV[1])
if not r then
	return { 'unknown' }
end
local have = held(data(ARGV[1], r.id))
if have ~= r.entries then
	return { 'lost', have, r.entries }
end
if not whole() then
	return { 'undenied' }
end
room()
local before = redis.call('HGET', KEYS[1], 'id')
if before and not record(old[1]) then
	unlink(data(old[1], before)) -- its record was lost, and nothing else knows of it
end
redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'id', r.id, 'fence', ARGV[2], 'meta', ARGV[3])
-- What has lost rows can serve nobody any more.
local all = redis.call('HGETALL', P .. 'generations')
for i = 1, #all, 2 do
	local other = cjson.decode(all[i + 1])
	if all[i] ~= ARGV[1] and held(data(all[i], other.id)) ~= other.entries then
		unlink(data(all[i], other.id))
		redis.call('HDEL', P .. 'generations', all[i])
	end
end
return { 'ok' }
