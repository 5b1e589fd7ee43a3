"""How far materialization has come, kept in Redis beside the data: an emptied Redis knows that it is empty."""

from datetime import datetime

import msgspec
import redis

from larder.contracts.errors import OnlineStoreError
from larder.online.packed.keys import view_prefix
from larder.online.server.connection import redis_failures
from larder.online.writing.swap import replace_if_same


class Position(msgspec.Struct, frozen=True):
    """Redis holds everything that `table` held at Delta version `version`, as seen at `instant` (UTC)."""

    table: str
    version: int
    instant: datetime
    table_id: str = ""
    """Delta's own id: another table in the same place has another one."""
    fingerprint: str = ""
    """Of the view's schema; a position without one was left by an older version of this package."""
    columns: str = ""
    """Of the table's columns behind the view's names and times; a position without it says nothing about them."""


def read_position(client: redis.Redis, project: str, view: str) -> Position | None:
    """The last position written, or None when the view was never materialized or Redis was emptied."""
    return decoded_position(stored_position(client, project, view), view)


def stored_position(client: redis.Redis, project: str, view: str) -> bytes | None:
    """The position as it lies in Redis."""
    with redis_failures(client):
        stored: bytes | None = client.get(_key(project, view))
    return stored


def decoded_position(stored: bytes | None, view: str) -> Position | None:
    if stored is None:
        return None
    try:
        return msgspec.json.decode(stored, type=Position)
    except msgspec.DecodeError as problem:
        raise OnlineStoreError(
            f"The position of view {view!r} in Redis cannot be read: {problem}. "
            f"Delete the view's data and materialize it again."
        ) from problem


def write_position(client: redis.Redis, project: str, view: str, position: Position) -> None:
    """Remember the position; write it after the data that it speaks of."""
    with redis_failures(client):
        client.set(_key(project, view), msgspec.json.encode(position))


def move_position(client: redis.Redis, project: str, view: str, *, seen: bytes | None, to: Position) -> bool:
    """Remember the position unless another push has moved it since it was `seen`; whether that was so."""
    return replace_if_same(client, [_key(project, view)], [seen], [msgspec.json.encode(to)]) == 1


def _key(project: str, view: str) -> bytes:
    return view_prefix(project, view) + b"position"
