-- ARGV: generation, nonce, erasures, entries, record
local old = record(ARGV[1])
if old and old.id == ARGV[2] then
	return { 'ok' }
end
local loader = redis.call('GET', P .. 'load:' .. ARGV[1])
if loader ~= ARGV[2] then
	return { 'gone', loader or '' }
end
if redis.call('HGET', KEYS[1], 'generation') == ARGV[1] then
	return { 'live' }
end
if erasures() ~= ARGV[3] then
	return { 'erased', erasures() }
end
local prefix = data(ARGV[1], ARGV[2])
local have = held(prefix)
if have ~= tonumber(ARGV[4]) then
	return { 'count', have }
end
room()
each(prefix, function(bucket)
	redis.call('PERSIST', bucket)
end)
redis.call('HSET', P .. 'generations', ARGV[1], ARGV[5])
redis.call('DEL', P .. 'load:' .. ARGV[1])
if old then
	unlink(data(ARGV[1], old.id))
end
return { 'ok' }
