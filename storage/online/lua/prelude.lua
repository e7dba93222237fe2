-- Begins every script. KEYS[1] is the key of the live pointer; all others begin as it does. A first write that takes no memory lets
-- the later ones of a script pass a server that is full: `room` is called where refusing would be worse.
local P = string.sub(KEYS[1], 1, -5)
local format = redis.call('GET', P .. 'format')
if format and format ~= '1' then
	return { 'format', format }
end
local function data(number, id)
	return P .. 'g' .. number .. '-' .. id .. ':'
end
local function room()
	redis.call('DEL', P .. 'room')
end
-- below compares decimal numbers, which may be too large for a Lua number.
local function below(a, b)
	if #a ~= #b then
		return #a < #b
	end
	return a < b
end
local function record(number)
	local text = redis.call('HGET', P .. 'generations', number)
	return text and cjson.decode(text)
end
local function each(prefix, f)
	for i = 0, 255 do
		f(prefix .. string.format('%02x', i), i)
	end
end
local function held(prefix)
	local n = 0
	each(prefix, function(bucket)
		n = n + redis.call('HLEN', bucket)
	end)
	return n
end
local function unlink(prefix)
	each(prefix, function(bucket)
		redis.call('UNLINK', bucket)
	end)
end
-- whole tells a deny set from one that was lost: it has the empty name in it.
local function whole()
	return redis.call('SISMEMBER', P .. 'denied', '') == 1
end
-- begin makes the deny set of a store that holds nothing yet.
local function begin()
	if not whole() and redis.call('EXISTS', KEYS[1], P .. 'generations') == 0 then
		redis.call('SADD', P .. 'denied', '')
	end
	redis.call('SET', P .. 'format', '1')
end
local function erasures()
	return redis.call('GET', P .. 'erasures') or '0'
end
