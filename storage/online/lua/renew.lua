-- ARGV: generation, nonce, ms
local loader = redis.call('GET', P .. 'load:' .. ARGV[1])
if loader ~= ARGV[2] then
	return { 'gone', loader or '' }
end
redis.call('PEXPIRE', P .. 'load:' .. ARGV[1], ARGV[3])
each(data(ARGV[1], ARGV[2]), function(bucket)
	redis.call('PEXPIRE', bucket, ARGV[3])
end)
return { 'ok' }
