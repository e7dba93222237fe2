-- ARGV: generation, nonce
if redis.call('GET', P .. 'load:' .. ARGV[1]) == ARGV[2] then
	redis.call('DEL', P .. 'load:' .. ARGV[1])
end
local r = record(ARGV[1])
if not r or r.id ~= ARGV[2] then
	unlink(data(ARGV[1], ARGV[2]))
end
return { 'ok' }
