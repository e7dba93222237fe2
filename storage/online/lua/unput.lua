-- Takes rows of erased owners out of a load. ARGV: generation, nonce, then bucket, key for each
local loader = redis.call('GET', P .. 'load:' .. ARGV[1])
if loader ~= ARGV[2] then
	return { 'gone', loader or '' }
end
for i = 3, #ARGV, 2 do
	redis.call('HDEL', data(ARGV[1], ARGV[2]) .. ARGV[i], ARGV[i + 1])
end
return { 'ok' }
