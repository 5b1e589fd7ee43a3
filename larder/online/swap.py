"""Compare-and-swap: a value is replaced or deleted only while it is, byte for byte, the one that was read.

Compare-and-set never moves a value backwards. Where history itself went back, values have to, and this is how
they do so beside other writers: what one of them stored in between stays.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial

import redis
from redis.exceptions import ResponseError, WatchError

from larder.online.compare_and_set import forbids_scripts
from larder.online.server.cluster import Cluster, places_by_slot
from larder.online.server.connection import redis_failures

Values = Sequence[bytes | None]
Swap = tuple[bytes, bytes, bytes]
"""Key, old and new value; empty stands for none."""

KEYS_PER_SCRIPT = 1_024

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
SCRIPT_HASH = hashlib.sha1(REPLACE_IF_SAME.encode(), usedforsecurity=False).hexdigest()


def replace_if_same(client: redis.Redis, keys: Sequence[bytes], old: Values, new: Values) -> int:
    """Put `new` (None: nothing, the key is deleted) where Redis still holds `old` (None: no such key).

    Returns how many were replaced; the others hold something else by now, which stays. Values are not empty.
    Raises OnlineStoreError when Redis fails; the same call may then be repeated.
    """
    swaps = [(key, before or b"", after or b"") for key, before, after in zip(keys, old, new, strict=True)]
    with redis_failures(client):
        try:
            return _by_script(client, swaps)
        except ResponseError as problem:
            if not forbids_scripts(problem):
                raise
        return _by_watching(client, swaps)


def _by_script(client: redis.Redis, swaps: Sequence[Swap]) -> int:
    if isinstance(client, Cluster):
        # A script sees the keys of one slot only: its text goes to each node once, its hash with each slot.
        commands = [(slot, ("EVALSHA", SCRIPT_HASH, *_arguments(part))) for slot, part in _by_slot(swaps)]
        return sum(client.run(commands, before=("SCRIPT", "LOAD", REPLACE_IF_SAME)))
    with client.pipeline(transaction=False) as pipeline:
        for part in _parts(swaps):
            pipeline.eval(REPLACE_IF_SAME, *_arguments(part))
        return sum(pipeline.execute())


def _by_watching(client: redis.Redis, swaps: Sequence[Swap]) -> int:
    if isinstance(client, Cluster):
        return sum(client.on_node_of(slot, partial(_watched, swaps=part)) for slot, part in _by_slot(swaps))
    return _watched(client, swaps)


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


def _arguments(swaps: Sequence[Swap]) -> list[int | bytes]:
    keys = [key for key, _, _ in swaps]
    return [len(keys), *keys, *(value for _, *values in swaps for value in values)]


def _by_slot(swaps: Sequence[Swap]) -> Iterator[tuple[int, Sequence[Swap]]]:
    for slot, places in places_by_slot(key for key, _, _ in swaps).items():
        for part in _parts([swaps[place] for place in places]):
            yield slot, part


def _parts(swaps: Sequence[Swap]) -> Iterator[Sequence[Swap]]:
    for start in range(0, len(swaps), KEYS_PER_SCRIPT):
        yield swaps[start : start + KEYS_PER_SCRIPT]
