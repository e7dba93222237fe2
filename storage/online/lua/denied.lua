-- The deny set: names, and SHA-256 of the erased. One that was lost, in a store that holds rows, is none.
if not whole() and redis.call('EXISTS', KEYS[1], P .. 'generations') > 0 then
	return { 'undenied' }
end
return { 'ok', redis.call('SMEMBERS', P .. 'denied'), redis.call('SMEMBERS', P .. 'erased') }
