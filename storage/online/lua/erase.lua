-- Takes rows out of a finished generation. ARGV: generation, its record as it was read and as it shall be, then bucket, key for each
if redis.call('HGET', P .. 'generations', ARGV[1]) ~= ARGV[2] then
	return { 'changed' }
end
local r = cjson.decode(ARGV[3])
room()
for i = 4, #ARGV, 2 do
	local bucket = data(ARGV[1], r.id) .. ARGV[i]
	redis.call('HDEL', bucket, ARGV[i + 1])
	if redis.call('EXISTS', bucket) == 0 then
		local at = tonumber(ARGV[i], 16) + 1
		r.full = string.sub(r.full, 1, at - 1) .. '0' .. string.sub(r.full, at + 1)
	end
end
local text = cjson.encode(r)
redis.call('HSET', P .. 'generations', ARGV[1], text)
return { 'ok', text }
