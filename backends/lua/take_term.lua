-- Raises the term that fences the authority: a holder of an older one can commit nothing any more.
--
-- KEYS  1 authority:term
-- ARGV  1 term
-- Returns {'OK'} where the term is now ours, or {'REFUSED', current} where a newer one has been taken.

local held = redis.call('GET', KEYS[1])
local wanted = tonumber(ARGV[1])
if held ~= false then
  local current = tonumber(held)
  if current and current > wanted then
    return {'REFUSED', held}
  end
end
redis.call('SET', KEYS[1], ARGV[1])
return {'OK'}
