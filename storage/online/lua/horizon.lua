-- ARGV: from when no owned row is served as far as the caller knows, and from when from now on; µs, 0: never
local is = redis.call('GET', P .. 'horizon') or '0'
if is == ARGV[2] then
	return { 'ok' }
end
if is ~= ARGV[1] and tonumber(is) then
	return { 'other' }
end
room()
begin()
if ARGV[2] == '0' then
	redis.call('DEL', P .. 'horizon')
else
	redis.call('SET', P .. 'horizon', ARGV[2])
end
return { 'ok' }
