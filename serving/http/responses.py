"""Answers as JSON, errors included."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

RETRY_AFTER = {"Retry-After": "1"}
"""Seconds; with every 503, all of which pass."""


def json_response(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")


def error_response(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    return json_response({"error": reason}, status=status, headers=headers)


UNAUTHORIZED = error_response(
    401, "Show a token of this server: Authorization: Bearer <token>.", {"WWW-Authenticate": "Bearer"}
)


def http_error(problem: HTTPException) -> Response:
    return error_response(problem.status_code, problem.detail, problem.headers)


def defect(problem: Exception) -> Response:
    """For an error that is raised on, into the server's log; uvicorn then closes the connection."""
    reason = f"Unexpected {type(problem).__name__}; this is a defect, see the server's log."
    return error_response(500, reason, {"Connection": "close"})
