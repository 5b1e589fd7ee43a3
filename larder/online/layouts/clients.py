"""The connections of one online store: short waits for reads, long ones for bulk, one client per event loop."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from larder.online.packed.keys import ViewKeys, whole_keys
from larder.online.server.connection import BULK_TIMEOUT_SECONDS, connect, connect_async
from larder.online.server.many_keys import multi_get_async, multi_get_views

if TYPE_CHECKING:
    import redis
    import redis.asyncio


READS_AT_ONCE = 16
"""Of one event loop. A read that waits for Redis also waits for all the work that others do in its loop meanwhile; with
many more that alone would take as long as Redis may."""


class Clients:
    """Connects on first use; safe to share between threads and event loops.

    `read_timeout_seconds` bounds each wait of a read.
    """

    def __init__(self, address: str, read_timeout_seconds: float) -> None:
        self.address = address
        self._read_timeout_seconds = read_timeout_seconds
        # A connection belongs to the event loop that opened it.
        self._of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = WeakKeyDictionary()
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    @cached_property
    def bulk(self) -> "redis.Redis":
        """For writes, scans and deletes."""
        return connect(self.address, timeout_seconds=BULK_TIMEOUT_SECONDS)

    @cached_property
    def reading(self) -> "redis.Redis":
        return connect(self.address, timeout_seconds=self._read_timeout_seconds)

    @property
    def in_loop(self) -> "redis.asyncio.Redis":
        """The client of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._of_loop:
            self._of_loop[loop] = connect_async(self.address, timeout_seconds=self._read_timeout_seconds)
        return self._of_loop[loop]

    @property
    def turn(self) -> asyncio.Semaphore:
        """Held by an asynchronous read of the running event loop from before its work until after it."""
        return self._turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(READS_AT_ONCE))

    def get(self, views: Sequence[ViewKeys]) -> list[bytes | None]:
        """The value of each key, one view after the other, None where there is none; one round trip."""
        return list(self._get(views, len(views)))

    async def get_async(self, views: Sequence[ViewKeys]) -> list[bytes | None]:
        keys = whole_keys(views)
        return await multi_get_async(self.in_loop)(keys) if keys else []

    async def close(self) -> None:
        """Close what is open, the running loop's client included; the next use connects again."""
        client = self._of_loop.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()
        for name in ("bulk", "reading"):
            if name in vars(self):
                vars(self)[name].close()

    @cached_property
    def _get(self) -> Callable[[Sequence[ViewKeys], int], Iterable[bytes | None]]:
        return multi_get_views(self.reading)
