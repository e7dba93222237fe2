-- ARGV: generation
if redis.call('HGET', KEYS[1], 'generation') == ARGV[1] then
	return { 'live' }
end
local r = record(ARGV[1])
if r then
	unlink(data(ARGV[1], r.id))
	redis.call('HDEL', P .. 'generations', ARGV[1])
end
return { 'ok' }
