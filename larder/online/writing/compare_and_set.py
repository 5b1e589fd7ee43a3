"""Compare-and-set: a record replaces the stored one only if it is not older.

A script does it inside Redis. Where scripts are forbidden, WATCH does: read, compare here, and write only if
nobody else wrote in between. That is slower but as safe; docs/redis_servers.md has the numbers.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from operator import not_
from typing import NamedTuple

import pyarrow as pa
import redis
from redis.exceptions import ResponseError, WatchError

from larder.contracts.errors import OnlineStoreError
from larder.online.packed.record import HEADER
from larder.online.server.cluster import Cluster
from larder.online.server.connection import client_address, redis_failures
from larder.online.server.many_keys import pipelined_packed
from larder.online.writing.resp import packed_commands
from larder.online.writing.scripts import Script, parts

Record = tuple[bytes, bytes]
"""Key and packed record."""


class Records(NamedTuple):
    """Keys, each once, and their packed records: columns without nulls."""

    keys: pa.LargeBinaryArray
    records: pa.LargeBinaryArray

    @classmethod
    def of(cls, record_of_key: Mapping[bytes, bytes]) -> "Records":
        keys, records = (pa.array(column, pa.large_binary()) for column in (record_of_key, record_of_key.values()))
        return cls(keys, records)

    def items(self) -> Iterator[Record]:
        return zip(self.keys.to_pylist(), self.records.to_pylist(), strict=True)


NO_STRING = "WRONGTYPE a record is to replace what is no string"

KEYS_OF_A_FIRST_LOAD = 4_096
"""Redis serves nobody else meanwhile, some three milliseconds. It syncs its file once for all of them, and a sync takes
as long as setting a thousand."""

WATCH_ATTEMPTS = 100
"""How often one entity is tried whose record other writers change all the time."""

# Instants are compared as two halves of 32 bits: Lua's numbers are doubles, exact to 53 bits only, and its
# string comparison follows the server's locale. A record of another schema always gives way. MGET shows nothing
# where a key holds no string, and MSET would overwrite it; MSETNX, which needs no look-up more, does not.
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
local newer, first = {}, {}
for i, key in ipairs(KEYS) do
  local old, new = stored[i], ARGV[i]
  local is_kept = old and #old >= 28 and string.sub(old, 1, 12) == string.sub(new, 1, 12) and is_later(old, new)
  if not is_kept then
    local chosen = old and newer or first
    chosen[#chosen + 1] = key
    chosen[#chosen + 1] = new
  end
end
if #first > 0 and redis.call('MSETNX', unpack(first)) == 0 then
  return redis.error_reply('WRONGTYPE a record is to replace what is no string')
end
if #newer > 0 then redis.call('MSET', unpack(newer)) end
return (#newer + #first) / 2
"""


def write_newest(client: redis.Redis, records: Records) -> int:
    """Store each record unless Redis holds a later one; how many were stored.

    Raises OnlineStoreError when Redis fails; the same write may then be repeated.
    """
    count = len(records.keys)
    are_first = [False] * count if isinstance(client, Cluster) else _set_where_nothing_is(client, records)
    written = sum(are_first)
    if written < count:
        written += _COMPARE_AND_SET.run(client, list(compress(records.items(), map(not_, are_first))))
    return written


def _set_where_nothing_is(client: redis.Redis, records: Records) -> list[bool]:
    """Which ones are stored because Redis had no key of their part: a first load needs no comparison, the slow half.

    The first of several parts tells whether it is worth a try.
    """
    are_first: list[bool] = []
    count, size = len(records.keys), KEYS_OF_A_FIRST_LOAD
    with redis_failures(client):
        for tried in (slice(0, size), slice(size, count)) if count > size else ():
            columns = (column[tried] for column in records)
            stored = pipelined_packed(client, packed_commands(b"MSETNX", *columns, size=size))
            are_first += [bool(is_stored) for is_stored in stored for _ in range(size)]
            if not are_first[0]:
                break
    return are_first[:count] + [False] * (count - len(are_first))


def _watched(client: redis.Redis, items: Sequence[Record]) -> int:
    """Store records of one server; where another writer came in between, half as many at a time."""
    for _ in range(1 if len(items) > 1 else WATCH_ATTEMPTS):
        try:
            return _written_unless_changed(client, dict(items))
        except WatchError:
            pass
    if len(items) > 1:
        return sum(_watched(client, part) for part in parts(items, (len(items) + 1) // 2))
    raise OnlineStoreError(
        f"Redis at {client_address(client)} changed a record {WATCH_ATTEMPTS} times while it was to be written. "
        "Write with fewer processes at once, or permit scripts (docs/redis_servers.md)."
    )


def _written_unless_changed(client: redis.Redis, records: dict[bytes, bytes]) -> int:
    """Raises WatchError when another writer changed one of the records meanwhile."""
    with client.pipeline() as pipeline:
        pipeline.watch(*records)
        stored = pipeline.mget(list(records))
        pairs = list(zip(records.items(), stored, strict=True))
        first = {key: new for (key, new), old in pairs if old is None}
        newer = {key: new for (key, new), old in pairs if old is not None and not _is_later(old, new)}
        pipeline.multi()
        if newer:
            pipeline.mset(newer)
        if first:
            pipeline.msetnx(first)
        if not all(pipeline.execute()):
            raise ResponseError(NO_STRING)
        return len(newer) + len(first)


def _is_later(old: bytes, new: bytes) -> bool:
    """Whether `old` is a record of the same schema and of a later (event timestamp, known at)."""
    if len(old) < HEADER.size:
        return False
    magic, fingerprint, *instants = HEADER.unpack_from(old)
    new_magic, new_fingerprint, *new_instants = HEADER.unpack_from(new)
    return (magic, fingerprint) == (new_magic, new_fingerprint) and instants > new_instants


_COMPARE_AND_SET = Script(WRITE_NEWEST, _watched)
