"""Answers leave in one piece: uvicorn writes head and body one by one, and each write costs as much as a read."""

import asyncio
from typing import Any

_END_OF_HEAD = b"\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 "
"""Begins what a caller waits for before it sends a body: nothing follows."""


class OneWrite:
    """A transport that keeps the head of an answer until the body is written. All else goes out as it comes."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if data.endswith(_END_OF_HEAD) and not data.startswith(_CONTINUE):
            self.flush()
            self._head = data
        elif self._head:
            data, self._head = self._head + data, b""
            self._transport.write(data)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Write a head that nothing follows."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        self.flush()
        self._transport.close()
