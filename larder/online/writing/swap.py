"""Compare-and-swap: a value is replaced or deleted only while it is, byte for byte, the one that was read.

Compare-and-set never moves a value backwards. Where history itself went back, values have to, and this is how
they do so beside other writers: what one of them stored in between stays.
"""

from collections.abc import Sequence

import redis
from redis.exceptions import WatchError

from larder.online.writing.scripts import Script

Values = Sequence[bytes | None]
Swap = tuple[bytes, bytes, bytes]
"""Key, old and new value; empty stands for none."""

# No value of ours is empty, so that an empty argument can say that there is none.
REPLACE_IF_SAME = """
local replaced = 0
for i, key in ipairs(KEYS) do
  local old, new = ARGV[2 * i - 1], ARGV[2 * i]
  if (redis.call('GET', key) or '') == old then
    if new == '' then redis.call('DEL', key) else redis.call('SET', key, new) end
    replaced = replaced + 1
  end
end
return replaced
"""


def replace_if_same(client: redis.Redis, keys: Sequence[bytes], old: Values, new: Values) -> int:
    """Put `new` (None: nothing, the key is deleted) where Redis still holds `old` (None: no such key).

    Returns how many were replaced; the others hold something else by now, which stays. Values are not empty.
    Raises OnlineStoreError when Redis fails; the same call may then be repeated.
    """
    swaps = [(key, before or b"", after or b"") for key, before, after in zip(keys, old, new, strict=True)]
    return _REPLACE_IF_SAME.run(client, swaps)


def _watched(client: redis.Redis, swaps: Sequence[Swap]) -> int:
    """One after the other on one server. A writer that comes in between has changed the value: nothing to do."""
    replaced = 0
    for key, old, new in swaps:
        with client.pipeline() as pipeline:
            pipeline.watch(key)
            if (pipeline.get(key) or b"") != old:
                continue
            pipeline.multi()
            pipeline.set(key, new) if new else pipeline.delete(key)
            try:
                pipeline.execute()
                replaced += 1
            except WatchError:
                pass
    return replaced


_REPLACE_IF_SAME = Script(REPLACE_IF_SAME, _watched)
