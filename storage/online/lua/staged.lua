-- Makes a large change of the deny set at once. ARGV: nonce, the change, erasures when it began, how many names and hashes there must be
local names, hashes = P .. 'stage:' .. ARGV[1] .. ':names', P .. 'stage:' .. ARGV[1] .. ':hashes'
local denied, erased = P .. 'denied', P .. 'erased'
if erasures() ~= ARGV[3] or redis.call('SCARD', names) ~= tonumber(ARGV[4]) or redis.call('SCARD', hashes) ~= tonumber(ARGV[5]) then
	redis.call('UNLINK', names, hashes)
	return { 'erased' }
end
room()
begin()
if ARGV[2] == 'erase' then
	redis.call('INCR', P .. 'erasures')
elseif ARGV[2] == 'restore' then
	redis.call('SADD', denied, '')
end
if ARGV[2] == 'deny' or ARGV[2] == 'restore' then
	redis.call('SUNIONSTORE', denied, denied, names)
else
	redis.call('SDIFFSTORE', denied, denied, names)
end
if ARGV[2] == 'allow' then
	redis.call('SDIFFSTORE', erased, erased, hashes)
else
	redis.call('SUNIONSTORE', erased, erased, hashes)
end
redis.call('UNLINK', names, hashes)
return { 'ok' }
