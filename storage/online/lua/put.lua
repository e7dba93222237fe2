-- ARGV: generation, nonce, ms, "first" if no answer to these rows was lost, then bucket, key, row for each
local loader = redis.call('GET', P .. 'load:' .. ARGV[1])
if loader ~= ARGV[2] then
	return { 'gone', loader or '' }
end
local prefix = data(ARGV[1], ARGV[2])
local touched = {}
for i = 5, #ARGV, 3 do
	local bucket = prefix .. ARGV[i]
	if redis.call('HSET', bucket, ARGV[i + 1], ARGV[i + 2]) == 0 and ARGV[4] == 'first' then
		return { 'twice', ARGV[i + 1] }
	end
	touched[bucket] = true
end
for bucket in pairs(touched) do
	if redis.call('PTTL', bucket) == -1 then
		redis.call('PEXPIRE', bucket, ARGV[3])
	end
end
return { 'ok' }
