-- ARGV: bucket, key, who may own the row, the SHA-256 of that name, now in µs (left out: the server's clock)
local live = redis.call('HMGET', KEYS[1], 'generation', 'id', 'fence', 'meta')
if not (live[1] and live[2] and live[3] and live[4]) then
	return { 'none' }
end
local function answer(status, row)
	return { status, live[1], live[3], live[4], row }
end
local bucket = data(live[1], live[2]) .. ARGV[1]
local row = redis.call('HGET', bucket, ARGV[2])
if not row then
	if redis.call('EXISTS', bucket) == 0 then
		local r = record(live[1])
		local i = tonumber(ARGV[1], 16) + 1
		if not r or string.sub(r.full, i, i) == '1' then
			return answer('lost')
		end
	end
	return answer('absent')
end
local n = #row > 1 and string.byte(row, 1) * 256 + string.byte(row, 2) or 0
if n == 0 then
	return answer('ok', row)
end
local owner = string.sub(row, 3, 2 + n)
if not whole() then
	return answer('undenied')
end
if redis.call('SISMEMBER', P .. 'denied', owner) == 1 then
	return answer('denied')
end
if redis.call('EXISTS', P .. 'erased') == 1 then
	if owner ~= ARGV[3] then
		return answer('owner', owner)
	end
	if redis.call('SISMEMBER', P .. 'erased', ARGV[4]) == 1 then
		return answer('denied')
	end
end
if redis.call('EXISTS', P .. 'fallback') == 1 then
	return answer('fallback')
end
local horizon = redis.call('GET', P .. 'horizon')
if horizon then
	local now = tonumber(ARGV[5])
	if not now then
		local t = redis.call('TIME')
		now = tonumber(t[1]) * 1000000 + tonumber(t[2])
	end
	local at = tonumber(horizon)
	if not at or at ~= 0 and now >= at then
		return answer('overdue')
	end
end
return answer('ok', row)
