-- The compare-and-set behind every loosening. Applies all of it or nothing, at most once.
--
-- KEYS  1 trip:<id>  2 breaker:<id>  3 circuit_breaker:state  4 authority:term
--       5 circuit_breaker:history  6 circuit_breaker:events
--       then trip:<ancestor>, breaker:<ancestor> for each ancestor
-- ARGV  1 run_id  2 counter  3 document  4 legacy value  5 term  6 deadline (Unix ms, this server's clock)
--       7 new document  8 new legacy value ('' leaves it)  9 history score  10 history member
--       11 fields of the stream entry (JSON array)
--       then the expected counter and document of each ancestor
-- An expected value is '=' and its bytes, or '-' where the key must not exist.
-- Returns {'OK'} or {'REFUSED', why}; why is one of: server, deadline, term, counter, document, legacy, ancestor.

local function holds(key, expected)
  local value = redis.call('GET', key)
  if value == false then
    return expected == '-'
  end
  return expected == '=' .. value
end

local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if run_id ~= ARGV[1] then
  return {'REFUSED', 'server'}
end
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local deadline = tonumber(ARGV[6])
if not deadline or now_ms >= deadline then
  return {'REFUSED', 'deadline'}
end
if not holds(KEYS[4], ARGV[5]) then
  return {'REFUSED', 'term'}
end
if not holds(KEYS[1], ARGV[2]) then
  return {'REFUSED', 'counter'}
end
if not holds(KEYS[2], ARGV[3]) then
  return {'REFUSED', 'document'}
end
if not holds(KEYS[3], ARGV[4]) then
  return {'REFUSED', 'legacy'}
end
for place = 7, #KEYS do
  if not holds(KEYS[place], ARGV[place + 5]) then
    return {'REFUSED', 'ancestor'}
  end
end

redis.call('SET', KEYS[2], ARGV[7])
if ARGV[8] ~= '' then
  redis.call('SET', KEYS[3], ARGV[8])
end
-- History and stream are records of what was done; neither may undo it half-way.
redis.pcall('ZADD', KEYS[5], ARGV[9], ARGV[10])
redis.pcall('XADD', KEYS[6], 'MAXLEN', '~', '10000', '*', unpack(cjson.decode(ARGV[11])))
return {'OK'}
