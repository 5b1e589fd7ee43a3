"""Compare-and-set: a record replaces the stored one only if it is not older."""

import redis

from larder.online.server.connection import redis_failures

ROWS_PER_SCRIPT = 1_024
"""Redis serves nobody else while a script runs, about a millisecond for so many rows."""

# Instants are compared as two halves of 32 bits: Lua's numbers are doubles, exact to 53 bits only, and its
# string comparison follows the server's locale. A record of another schema always gives way.
WRITE_NEWEST = """
local function is_later(a, b)
  for at = 13, 21, 8 do
    local a_low, a_high = struct.unpack('<I4i4', a, at)
    local b_low, b_high = struct.unpack('<I4i4', b, at)
    if a_high ~= b_high then return a_high > b_high end
    if a_low ~= b_low then return a_low > b_low end
  end
  return false
end
local stored = redis.call('MGET', unpack(KEYS))
local newest = {}
for i, key in ipairs(KEYS) do
  local old, new = stored[i], ARGV[i]
  local is_kept = old and #old >= 28 and string.sub(old, 1, 12) == string.sub(new, 1, 12) and is_later(old, new)
  if not is_kept then
    newest[#newest + 1] = key
    newest[#newest + 1] = new
  end
end
if #newest > 0 then redis.call('MSET', unpack(newest)) end
return #newest / 2
"""


def write_newest(client: redis.Redis, records: dict[bytes, bytes]) -> int:
    """Store each record (key -> packed record) unless Redis holds a later one; how many were stored.

    Raises OnlineStoreError when Redis fails; the same write may then be repeated.
    """
    keys, values = list(records), list(records.values())
    with redis_failures(client), client.pipeline(transaction=False) as pipeline:
        for start in range(0, len(keys), ROWS_PER_SCRIPT):
            batch = slice(start, start + ROWS_PER_SCRIPT)
            pipeline.eval(WRITE_NEWEST, len(keys[batch]), *keys[batch], *values[batch])
        return sum(pipeline.execute())
