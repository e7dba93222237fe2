-- The generations: number, record, and how many rows stand there.
local out = { 'ok' }
local all = redis.call('HGETALL', P .. 'generations')
for i = 1, #all, 2 do
	out[#out + 1] = all[i]
	out[#out + 1] = all[i + 1]
	out[#out + 1] = held(data(all[i], cjson.decode(all[i + 1]).id))
end
return out
