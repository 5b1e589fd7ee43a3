"""What the online store holds, read in bulk: for proofs, counts and deletion, not for serving."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import redis

from larder.contracts.plan import ViewPlan
from larder.online.packed.columns import decoded_columns
from larder.online.packed.keys import entity_encoder, project_prefix, versions_pattern, view_in, view_prefix
from larder.online.packed.record import Layout
from larder.online.server.connection import redis_failures
from larder.online.server.many_keys import multi_delete, multi_get

KEYS_PER_CALL = 1_000


def read_view(client: redis.Redis, view: ViewPlan, project: str, keys: pa.Table) -> pa.Table:
    """The stored rows of `keys` (columns: the view's join keys), row for row, whatever their age.

    Columns: join keys, features in the types of the offline join, event_timestamp, known_at. All but the keys are
    null where Redis has no record. Raises SchemaMismatchError or OnlineStoreError like the reader.
    """
    records = stored_records(client, redis_keys(view, project, keys))
    return pa.table({key.name: keys[key.name] for key in view.join_keys} | decoded_columns(Layout(view), records))


def redis_keys(view: ViewPlan, project: str, entities: pa.Table) -> list[bytes]:
    """The Redis key of each row as a reader makes it; columns are the view's join keys."""
    encode, prefix = entity_encoder(view), view_prefix(project, view.name)
    if not view.join_keys:
        return [prefix + encode({})] * entities.num_rows
    rows = zip(*(entities[key.name].to_pylist() for key in view.join_keys), strict=True)
    return [prefix + encode(dict(zip(view.request_keys, row, strict=True))) for row in rows]


def stored_keys(client: redis.Redis, project: str, view: str) -> Iterator[bytes]:
    """The Redis keys of the view's records, each once; looks at every key of the server."""
    return _once(scanned_keys(client, project, view))


def scanned_keys(client: redis.Redis, project: str, view: str) -> Iterator[bytes]:
    """As `stored_keys`, but a key perhaps more than once, so that none has to be kept in memory."""
    return _scan(client, view_prefix(project, view) + b"{*")


def stored_records(client: redis.Redis, keys: Sequence[bytes]) -> list[bytes | None]:
    """What Redis holds, key for key; a thousand keys a round trip. Raises OnlineStoreError when Redis fails."""
    fetch = multi_get(client)
    records: list[bytes | None] = []
    with redis_failures(client):
        for start in range(0, len(keys), KEYS_PER_CALL):
            records += fetch(keys[start : start + KEYS_PER_CALL])
    return records


def count_entities(client: redis.Redis, project: str, view: str) -> int:
    """How many entities the view has in Redis; looks at every key of the server."""
    return sum(1 for _ in stored_keys(client, project, view))


def delete_view(client: redis.Redis, project: str, view: str) -> None:
    """Delete the records and positions of all versions of the view, and nothing else; looks at every key of the server.

    A view that is pinned to an old version has newer ones, too.
    """
    keys = _once(_scan(client, versions_pattern(project, view)))
    delete_keys(client, [key for key in keys if view_in(key, project).partition("@")[0] == view])


def delete_project(client: redis.Redis, project: str) -> None:
    """Delete all records and positions of the project, and nothing else; looks at every key of the server."""
    delete_keys(client, list(_once(_scan(client, project_prefix(project) + b"*"))))


def delete_keys(client: redis.Redis, keys: Sequence[bytes]) -> None:
    """Delete these keys, a thousand a round trip. Raises OnlineStoreError when Redis fails."""
    with redis_failures(client):
        for start in range(0, len(keys), KEYS_PER_CALL):
            multi_delete(client, keys[start : start + KEYS_PER_CALL])


def _scan(client: redis.Redis, pattern: bytes) -> Iterator[bytes]:
    """Keys that match; SCAN may repeat a key while the table is resized."""
    with redis_failures(client):
        yield from client.scan_iter(match=pattern, count=KEYS_PER_CALL)


def _once(keys: Iterable[bytes]) -> Iterator[bytes]:
    seen: set[bytes] = set()
    for key in keys:
        if key not in seen:
            seen.add(key)
            yield key
