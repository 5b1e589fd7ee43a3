"""Compare-and-set: a record replaces the stored one only if it is not older.

A script does it inside Redis. Where scripts are forbidden, WATCH does: read, compare here, and write only if
nobody else wrote in between. That is slower but as safe; docs/redis_servers.md has the numbers.
"""

import hashlib
import re
from collections.abc import Iterator
from functools import partial
from itertools import compress, islice
from operator import not_
from weakref import WeakSet

import redis
from redis.exceptions import NoPermissionError, ResponseError, WatchError

from larder.contracts.errors import OnlineStoreError
from larder.online.packed.record import HEADER
from larder.online.server.cluster import Cluster, places_by_slot
from larder.online.server.connection import client_address, redis_failures

Records = dict[bytes, bytes]
"""Key -> packed record."""

ROWS_PER_SCRIPT = 1_024
"""Redis serves nobody else while a script runs, about a millisecond for so many rows."""

NO_STRING = "WRONGTYPE a record is to replace what is no string"

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
SCRIPT_HASH = hashlib.sha1(WRITE_NEWEST.encode(), usedforsecurity=False).hexdigest()

_without_scripts: "WeakSet[redis.Redis]" = WeakSet()
"""Clients that may not run scripts, as Redis told them once."""


def write_newest(client: redis.Redis, records: Records) -> int:
    """Store each record unless Redis holds a later one; how many were stored.

    Raises OnlineStoreError when Redis fails; the same write may then be repeated.
    """
    with redis_failures(client):
        if client not in _without_scripts:
            try:
                return _by_script(client, records)
            except ResponseError as problem:
                if not forbids_scripts(problem):
                    raise
                _without_scripts.add(client)
        return _by_watching(client, records)


def _by_script(client: redis.Redis, records: Records) -> int:
    if isinstance(client, Cluster):
        return _by_script_in_cluster(client, records)
    parts = list(_parts(records))
    are_first = _set_where_nothing_is(client, parts)
    with client.pipeline(transaction=False) as pipeline:
        for part in compress(parts, map(not_, are_first)):
            pipeline.eval(WRITE_NEWEST, len(part), *part.keys(), *part.values())
        written: int = sum(pipeline.execute())
    return written + sum(map(len, compress(parts, are_first)))


def _set_where_nothing_is(client: redis.Redis, parts: list[Records]) -> list[bool]:
    """Which parts Redis had no key of; these are stored then. A first load needs no comparison, the slow half of it.

    The first of several parts tells whether it is worth a try.
    """
    are_first: list[bool] = []
    for tried in (parts[:1], parts[1:]) if len(parts) > 1 else ():
        with client.pipeline(transaction=False) as pipeline:
            for part in tried:
                pipeline.msetnx(part)
            are_first += map(bool, pipeline.execute())
        if not are_first[0]:
            break
    return are_first + [False] * (len(parts) - len(are_first))


def _by_script_in_cluster(client: Cluster, records: Records) -> int:
    """A script sees the keys of one slot only, so its text goes to each node once and its hash with each slot."""
    commands = [
        (slot, ("EVALSHA", SCRIPT_HASH, len(part), *part.keys(), *part.values())) for slot, part in _by_slot(records)
    ]
    return sum(client.run(commands, before=("SCRIPT", "LOAD", WRITE_NEWEST)))


def _by_watching(client: redis.Redis, records: Records) -> int:
    if isinstance(client, Cluster):
        return sum(client.on_node_of(slot, partial(_watched, records=part)) for slot, part in _by_slot(records))
    return sum(_watched(client, part) for part in _parts(records))


def _watched(client: redis.Redis, records: Records) -> int:
    """Store records of one server; where another writer came in between, half as many at a time."""
    for _ in range(1 if len(records) > 1 else WATCH_ATTEMPTS):
        try:
            return _written_unless_changed(client, records)
        except WatchError:
            pass
    if len(records) > 1:
        return sum(_watched(client, part) for part in _parts(records, (len(records) + 1) // 2))
    raise OnlineStoreError(
        f"Redis at {client_address(client)} changed a record {WATCH_ATTEMPTS} times while it was to be written. "
        "Write with fewer processes at once, or permit scripts (docs/redis_servers.md)."
    )


def _written_unless_changed(client: redis.Redis, records: Records) -> int:
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


def forbids_scripts(problem: ResponseError) -> bool:
    """Whether the user may not run scripts, or the server has none."""
    text = str(problem)
    if isinstance(problem, NoPermissionError):
        return re.search(r"'(eval|script)", text) is not None
    return re.search(r"unknown command .(eval|script)", text, re.IGNORECASE) is not None


def _by_slot(records: Records) -> Iterator[tuple[int, Records]]:
    keys = list(records)
    for slot, places in places_by_slot(keys).items():
        for part in _parts({keys[place]: records[keys[place]] for place in places}):
            yield slot, part


def _parts(records: Records, size: int = ROWS_PER_SCRIPT) -> Iterator[Records]:
    items = iter(records.items())
    while part := dict(islice(items, size)):
        yield part
