"""The body of a request, read from ASGI within bounds of size; `server.py` beside this sets those of time."""

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from serving.requests import MAX_BODY_BYTES


async def json_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body. Raises HTTPException for another content type, and for a body too large or cut off."""
    content_type = _content_type(scope)
    if content_type != "application/json":
        raise HTTPException(415, f"The body is {content_type or 'of no stated type'}; send application/json.")
    body = bytearray()
    while _has_more(body, await receive()):
        pass
    return bytes(body)


def _has_more(body: bytearray, message: Message) -> bool:
    """Append what a message brings, and whether more will follow."""
    if message["type"] == "http.disconnect":
        raise _closing(400, "The connection ended before the body did.")
    body += message.get("body", b"")
    if len(body) > MAX_BODY_BYTES:
        raise _closing(413, f"The body exceeds {MAX_BODY_BYTES} bytes; send fewer rows per request.")
    return bool(message.get("more_body"))


def _content_type(scope: Scope) -> str:
    sent: bytes = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    return sent.decode("latin-1").partition(";")[0].strip().lower()


def _closing(status: int, reason: str) -> HTTPException:
    """An error after which the rest of the body is not worth reading."""
    return HTTPException(status, reason, headers={"Connection": "close"})
