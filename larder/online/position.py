"""How far materialization has come, kept in Redis beside the data: an emptied Redis knows that it is empty."""

from datetime import datetime

import msgspec
import redis

from larder.contracts.errors import OnlineStoreError
from larder.online.packed.keys import view_prefix
from larder.online.server.connection import redis_failures


class Position(msgspec.Struct, frozen=True):
    """Redis holds everything that `table` held at Delta version `version`, as seen at `instant` (UTC)."""

    table: str
    version: int
    instant: datetime


def read_position(client: redis.Redis, project: str, view: str) -> Position | None:
    """The last position written, or None when the view was never materialized or Redis was emptied."""
    with redis_failures(client):
        stored = client.get(_key(project, view))
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


def _key(project: str, view: str) -> bytes:
    return view_prefix(project, view) + b"position"
