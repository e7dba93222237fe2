-- ARGV: the switch as JSON, or nothing to end it
room()
begin()
if ARGV[1] == '' then
	redis.call('DEL', P .. 'fallback')
else
	redis.call('SET', P .. 'fallback', ARGV[1])
end
return { 'ok' }
