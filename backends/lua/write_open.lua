-- Puts the reason of a halt into breaker:<id>, as an OPEN document of the current epoch: tightening only.
--
-- KEYS  1 trip:<id>  2 breaker:<id>  3 circuit_breaker:state  4 authority:term
-- ARGV  1 run_id  2 counter  3 document  4 legacy value  5 term  6 new document  7 new legacy value ('' leaves it)
-- An expected value is '=' and its bytes, or '-' where the key must not exist.
-- Returns {'OK'} or {'REFUSED', why}; why is one of: server, term, counter, document, legacy, not-open.

local function holds(key, expected)
  local value = redis.call('GET', key)
  if value == false then
    return expected == '-'
  end
  return expected == '=' .. value
end

if cjson.decode(ARGV[6])['state'] ~= 'OPEN' then
  return {'REFUSED', 'not-open'}
end
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if run_id ~= ARGV[1] then
  return {'REFUSED', 'server'}
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
redis.call('SET', KEYS[2], ARGV[6])
if ARGV[7] ~= '' then
  redis.call('SET', KEYS[3], ARGV[7])
end
return {'OK'}
