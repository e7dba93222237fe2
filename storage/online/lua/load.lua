-- ARGV: generation, nonce, ms that the load outlives its loader
if redis.call('HGET', KEYS[1], 'generation') == ARGV[1] then
	return { 'live' }
end
begin()
local old = redis.call('GET', P .. 'load:' .. ARGV[1])
if old then
	unlink(data(ARGV[1], old))
end
redis.call('SET', P .. 'load:' .. ARGV[1], ARGV[2], 'PX', ARGV[3])
return { 'ok', erasures() }
