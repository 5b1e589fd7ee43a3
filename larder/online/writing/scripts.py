"""Scripts over many keys on any kind of Redis, and what is done instead where scripts are forbidden.

A script sees each of its keys alone: so its keys may be divided as server and Cluster need it.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Generic, TypeVar
from weakref import WeakSet

import redis
from redis.exceptions import NoPermissionError, ResponseError

from larder.online.server.cluster import Cluster, places_by_slot
from larder.online.server.connection import redis_failures
from larder.online.server.many_keys import pipelined

ItemT = TypeVar("ItemT", bound=tuple[bytes, ...])
"""A key, and the script's arguments for it."""

KEYS_PER_SCRIPT = 1_024
"""Redis serves nobody else while a script runs, about a millisecond for so many rows."""

_without_scripts: "WeakSet[redis.Redis]" = WeakSet()
"""Clients that may not run scripts, as Redis told them once."""


class Script(Generic[ItemT]):
    """A Lua script that returns for how many of its keys it did something; `watched` does the same with WATCH.

    The arguments of all keys follow one another in ARGV. `watched` is called with a client of one server.
    """

    def __init__(self, text: str, watched: Callable[[redis.Redis, Sequence[ItemT]], int]) -> None:
        self._text = text
        self._hash = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self._watched = watched

    def run(self, client: redis.Redis, items: Sequence[ItemT]) -> int:
        """For how many of the items something was done.

        Raises OnlineStoreError when Redis fails; some of it may be done then, and the same call may be repeated.
        """
        with redis_failures(client):
            if client not in _without_scripts:
                try:
                    return self._by_script(client, items)
                except ResponseError as problem:
                    if not _forbids_scripts(problem):
                        raise
                    _without_scripts.add(client)
            return self._by_watching(client, items)

    def _by_script(self, client: redis.Redis, items: Sequence[ItemT]) -> int:
        if isinstance(client, Cluster):
            # Keys of one slot only: the text goes to each node once, its hash with each slot.
            commands = [(slot, ("EVALSHA", self._hash, *_arguments(part))) for slot, part in _by_slot(items)]
            return sum(client.run(commands, before=("SCRIPT", "LOAD", self._text)))
        return sum(pipelined(client, (["EVAL", self._text, *_arguments(part)] for part in parts(items))))

    def _by_watching(self, client: redis.Redis, items: Sequence[ItemT]) -> int:
        if isinstance(client, Cluster):
            return sum(client.on_node_of(slot, partial(self._on_node, part)) for slot, part in _by_slot(items))
        return sum(self._watched(client, part) for part in parts(items))

    def _on_node(self, items: Sequence[ItemT], client: redis.Redis) -> int:
        return self._watched(client, items)


def parts(items: Sequence[ItemT], size: int = KEYS_PER_SCRIPT) -> Iterator[Sequence[ItemT]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _by_slot(items: Sequence[ItemT]) -> Iterator[tuple[int, Sequence[ItemT]]]:
    for slot, places in places_by_slot(item[0] for item in items).items():
        for part in parts([items[place] for place in places]):
            yield slot, part


def _arguments(items: Sequence[tuple[bytes, ...]]) -> list[int | bytes]:
    return [len(items), *(item[0] for item in items), *chain.from_iterable(item[1:] for item in items)]


def _forbids_scripts(problem: ResponseError) -> bool:
    """Whether the user may not run scripts, or the server has none."""
    text = str(problem)
    if isinstance(problem, NoPermissionError):
        return re.search(r"'(eval|script)", text) is not None
    return re.search(r"unknown command .(eval|script)", text, re.IGNORECASE) is not None
