"""Uvicorn as this server runs it: a socket of our own, slow senders and waiting requests limited, graceful end."""

import asyncio
import gc
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from types import FrameType
from typing import Any

import uvicorn
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from larder.contracts.errors import ConfigurationError
from serving.app import Application
from serving.http.one_write import OneWrite
from serving.http.queue import LONGEST_WAIT_SECONDS, Queue
from serving.http.responses import RETRY_AFTER, error_response

SECONDS_FOR_A_REQUEST = 10.0
"""In which a request comes whole."""
SECONDS_IDLE = 60
"""How long an idle connection is kept for its next request."""
SECONDS_TO_DRAIN = 20
_BACKLOG = 2048
_OBJECTS_BETWEEN_COLLECTIONS = 100_000
"""More than those of all answers that wait for one write of the log, about twenty each."""


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on `host`:`port`; port 0 takes any free one. Raises ConfigurationError when it cannot."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as problem:
        raise _cannot_listen(host, port, problem) from problem
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as problem:
        listener.close()
        raise _cannot_listen(host, port, problem) from problem
    return listener


def serve_until_terminated(app: Application, listener: socket.socket) -> None:
    """Answer on `listener` until SIGTERM or SIGINT; requests under way are answered first."""
    server = uvicorn.Server(server_config(app))
    _collect_seldom()
    with _quiet_end(server):
        server.run(sockets=[listener])


def server_config(app: Application) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=partial(PromptProtocol, app.queue),  # type: ignore[arg-type] # uvicorn only calls it
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # nobody asks for the caller's address
        timeout_keep_alive=SECONDS_IDLE,
        timeout_graceful_shutdown=SECONDS_TO_DRAIN,
    )


def _collect_seldom() -> None:
    """Requests leave no cycles, so nearly nothing is there for the garbage collector.

    By itself it would follow all answers that wait for the log through its generations, and what the start has left
    time and again: a twentieth of the CPU, and 60 ms in which nobody is answered.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)


class PromptProtocol(HttpToolsProtocol):
    """Closes a connection whose request is too long in coming, and refuses what would wait too long.

    Uvicorn by itself waits for ever, and lets others wait for ever. Refusals are made here, before the application has
    a task for them: the less one costs, the more is left for answers.
    """

    transport: OneWrite  # type: ignore[assignment]

    _deadline: asyncio.TimerHandle | None = None
    _is_refused = False
    """The request that is coming in, whose body is then passed over."""

    def __init__(self, queue: Queue, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._queue = queue
        self._joined_at: deque[float] = deque()
        """Of the whole requests of this connection that wait."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(OneWrite(transport))  # type: ignore[arg-type] # it has all that uvicorn uses
        self._in(SECONDS_FOR_A_REQUEST, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        while self._joined_at:
            self._joined_at.pop()
            self._queue.give_up()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_refused = False
        self._in(SECONDS_FOR_A_REQUEST, self._end_slow_request)

    def on_headers_complete(self) -> None:
        # What operators ask is answered however long it takes: a busy server is not a dead one.
        if self._queue.is_full and self.parser.get_method() == b"POST" and self._is_free():
            self._refuse()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._is_refused:
            return
        self._stop_waiting()
        super().on_message_complete()
        if not self.cycle.response_complete:
            self._joined_at.append(self._queue.join())

    def on_response_complete(self) -> None:
        if self._joined_at:
            self._queue.leave(self._joined_at.popleft())
        self.transport.flush()
        super().on_response_complete()

    def _is_free(self) -> bool:
        """Whether no earlier request of this connection waits for its answer."""
        return not self.pipeline and (self.cycle is None or self.cycle.response_complete)

    def _refuse(self) -> None:
        self._is_refused = True
        self._queue.refused += 1
        self.transport.write(_REFUSAL)
        if self.parser.should_keep_alive():
            self._in(SECONDS_IDLE, self.transport.close)
        else:
            self.transport.close()

    def _end_slow_request(self) -> None:
        cycle = self.cycle  # of this request, or of an earlier one where not even the headers are here
        if cycle is not None and cycle.more_body and not cycle.response_started and not self.pipeline:
            self.transport.write(_TOO_SLOW)
        self.transport.close()

    def _in(self, seconds: float, end: Callable[[], None]) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(seconds, end)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


@contextmanager
def _quiet_end(server: uvicorn.Server) -> Iterator[None]:
    """Uvicorn raises the signal that ended it again, after all is drained; here an ordered end is a normal one."""
    previous: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        previous[number] = signal.signal(number, server.handle_exit)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _raw(response: Response) -> bytes:
    """As it goes over the wire."""
    headers = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
    status = HTTPStatus(response.status_code)
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (status, status.phrase.encode(), headers, bytes(response.body))


_REFUSAL = _raw(
    error_response(
        503,
        f"Overloaded: this request would have waited for more than {LONGEST_WAIT_SECONDS:g} seconds. Try again later.",
        RETRY_AFTER,
    )
)


_TOO_SLOW = _raw(
    error_response(
        408,
        f"The request did not arrive within {SECONDS_FOR_A_REQUEST:g} seconds. Send it faster, or fewer rows at once.",
        {"Connection": "close"},
    )
)


def _cannot_listen(host: str, port: int, problem: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"Cannot listen on {host}:{port}: {problem.strerror or problem}. "
        "Stop what uses it, or choose another with LARDER_HOST and LARDER_PORT (or --port)."
    )
