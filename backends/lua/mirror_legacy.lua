-- Writes circuit_breaker:state so that it mirrors the global document that the caller saw.
--
-- KEYS  1 trip:global  2 breaker:global  3 circuit_breaker:state  4 authority:term
-- ARGV  1 run_id  2 counter  3 document  4 legacy value  5 term  6 new legacy value
-- An expected value is '=' and its bytes, or '-' where the key must not exist.
-- Returns {'OK'} or {'REFUSED', why}; why is one of: server, term, counter, document, legacy.

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
redis.call('SET', KEYS[3], ARGV[6])
return {'OK'}
