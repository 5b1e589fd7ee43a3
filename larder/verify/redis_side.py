"""The online side of the proof: keys as the reader makes them, and the bytes that Redis holds for them."""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

import pyarrow as pa
import redis

from larder.contracts.errors import InvalidDataError
from larder.contracts.plan import ViewPlan
from larder.online.contents import KEYS_PER_CALL
from larder.online.packed.keys import KEY_LETTERS, entity_encoder, view_prefix
from larder.online.packed.record import EPOCH
from larder.online.server.connection import redis_failures

Entity = tuple[Any, ...]
"""Values of the join keys, in the plan's order."""


def redis_keys(view: ViewPlan, project: str, entities: pa.Table) -> list[bytes]:
    """The Redis key of each row; columns are the view's join keys."""
    encode, prefix = entity_encoder(view), view_prefix(project, view.name)
    if not view.join_keys:
        return [prefix + encode({})] * entities.num_rows
    rows = zip(*(entities[key.name].to_pylist() for key in view.join_keys), strict=True)
    return [prefix + encode(dict(zip(view.request_keys, row, strict=True))) for row in rows]


def scanned_keys(client: redis.Redis, view: ViewPlan, project: str) -> Iterator[bytes]:
    """Keys of the view's records, a key perhaps more than once; looks at every key of the server."""
    with redis_failures(client):
        yield from client.scan_iter(match=view_prefix(project, view.name) + b"{*", count=KEYS_PER_CALL)


def entity_decoder(view: ViewPlan, project: str) -> Callable[[bytes], Entity | None]:
    """The reverse of `redis_keys`: from a key to its entity, None for a key that no entity of the view has."""
    encode, prefix = entity_encoder(view), view_prefix(project, view.name)

    def decode(key: bytes) -> Entity | None:
        try:
            entity = tuple(_values(key[len(prefix) + 1 : -1], [key.dtype for key in view.join_keys]))
            is_exact = prefix + encode(dict(zip(view.request_keys, entity, strict=True))) == key
        except (ValueError, OverflowError, InvalidDataError):
            return None
        return entity if is_exact else None

    return decode


def _values(encoded: bytes, dtypes: Iterable[str]) -> Iterator[Any]:
    """The parts of an entity key: letter, length, colon, value. Raises ValueError where they end too early."""
    for dtype in dtypes:
        length, _, rest = encoded[1:].partition(b":")
        value, encoded = rest[: int(length)], rest[int(length) :]
        yield _PARSERS[KEY_LETTERS[dtype]](value)


_PARSERS: dict[str, Callable[[bytes], Any]] = {
    "s": bytes.decode,
    "b": bytes,
    "i": int,
    "t": lambda digits: EPOCH + timedelta(microseconds=int(digits)),
}
