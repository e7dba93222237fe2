-- ARGV: deny, allow, restore or erase, then name and SHA-256 of each owner; an owner known by that alone has no name
room()
begin()
if ARGV[1] == 'erase' then
	redis.call('INCR', P .. 'erasures')
elseif ARGV[1] == 'restore' then
	redis.call('SADD', P .. 'denied', '')
end
for i = 2, #ARGV, 2 do
	local name, hash = ARGV[i], ARGV[i + 1]
	if ARGV[1] == 'erase' or (name == '' and ARGV[1] ~= 'allow') then
		redis.call('SADD', P .. 'erased', hash)
		if name ~= '' then
			redis.call('SREM', P .. 'denied', name)
		end
	elseif ARGV[1] == 'allow' then
		redis.call('SREM', P .. 'erased', hash)
		if name ~= '' then
			redis.call('SREM', P .. 'denied', name)
		end
	elseif redis.call('SISMEMBER', P .. 'erased', hash) == 0 then
		redis.call('SADD', P .. 'denied', name)
	end
end
return { 'ok' }
