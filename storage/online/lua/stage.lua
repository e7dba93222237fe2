-- Collects owners for one large change of the deny set. ARGV: nonce, ms, the change, then name and SHA-256 of each owner
local names, hashes = P .. 'stage:' .. ARGV[1] .. ':names', P .. 'stage:' .. ARGV[1] .. ':hashes'
room()
for i = 4, #ARGV, 2 do
	local name, hash = ARGV[i], ARGV[i + 1]
	local erased = redis.call('SISMEMBER', P .. 'erased', hash) == 1
	if name ~= '' and (ARGV[3] == 'allow' or ARGV[3] == 'erase' or not erased) then
		redis.call('SADD', names, name)
	end
	if name == '' or ARGV[3] == 'allow' or ARGV[3] == 'erase' then
		redis.call('SADD', hashes, hash)
	end
end
redis.call('PEXPIRE', names, ARGV[2])
redis.call('PEXPIRE', hashes, ARGV[2])
return { 'ok', erasures(), redis.call('SCARD', names), redis.call('SCARD', hashes) }
