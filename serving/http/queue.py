"""Requests that wait for this process, which answers one at a time; where too many do, the next is refused."""

import time

LONGEST_WAIT_SECONDS = 1.0
"""Who would wait longer is refused: by then most callers have given up, and an answer to them is lost work."""
_SHARE_OF_THE_LAST = 1 / 16


class Queue:
    """How many wait, and how long one more would: their number times the usual seconds for an answer."""

    def __init__(self, longest_wait_seconds: float = LONGEST_WAIT_SECONDS) -> None:
        self.refused = 0
        """Requests refused since the start."""
        self._longest_wait_seconds = longest_wait_seconds
        self._waiting = 0
        self._seconds_each = 0.0
        self._last_left_at = 0.0

    @property
    def is_full(self) -> bool:
        return self._waiting * self._seconds_each > self._longest_wait_seconds

    def join(self) -> float:
        """One more waits; the instant, for `leave`."""
        self._waiting += 1
        return time.perf_counter()

    def leave(self, joined_at: float) -> None:
        """It is answered. What it took is the time since it came or, later, since the one before it was answered."""
        now = time.perf_counter()
        took = now - max(joined_at, self._last_left_at)
        self._seconds_each += (took - self._seconds_each) * _SHARE_OF_THE_LAST
        self._last_left_at = now
        self._waiting -= 1

    def give_up(self) -> None:
        """It needs no answer any more."""
        self._waiting -= 1
