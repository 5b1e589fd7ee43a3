"""Uvicorn as this server runs it: a socket of our own, time for slow senders limited, graceful end."""

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from larder.contracts.errors import ConfigurationError

SECONDS_FOR_HEADERS = 10.0
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


def serve_until_terminated(app: Starlette, listener: socket.socket) -> None:
    """Answer on `listener` until SIGTERM or SIGINT; requests under way are answered first."""
    server = uvicorn.Server(server_config(app))
    _collect_seldom()
    with _quiet_end(server):
        server.run(sockets=[listener])


def server_config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=PromptProtocol,
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
    """Closes a connection whose request headers take too long; uvicorn by itself waits for ever."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_headers()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def _expect_headers(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(SECONDS_FOR_HEADERS, self.transport.close)

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


def _cannot_listen(host: str, port: int, problem: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"Cannot listen on {host}:{port}: {problem.strerror or problem}. "
        "Stop what uses it, or choose another with LARDER_HOST and LARDER_PORT (or --port)."
    )
