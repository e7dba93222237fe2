-- How many names, and SHA-256 of erased owners, the deny set has. One that was lost, in a store that holds rows, is none.
if not whole() and redis.call('EXISTS', KEYS[1], P .. 'generations') > 0 then
	return { 'undenied' }
end
local n = redis.call('SCARD', P .. 'denied')
return { 'ok', whole() and n - 1 or n, redis.call('SCARD', P .. 'erased') }
