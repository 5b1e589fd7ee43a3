"""Asking a server about real requests of the label table, as a caller would, over HTTP."""

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from larder.contracts.errors import InvalidDataError, MissingColumnsError, MissingTableError, OnlineStoreError
from larder.contracts.settings import Settings
from larder.contracts.tables import EVENT_TIMESTAMP
from serving.http.access import tokens_of
from serving.http.server import listening_socket

SECONDS_TO_START = 60.0
_SECONDS_PER_REQUEST = 10.0


@dataclass(frozen=True)
class LabelledRequest:
    """A real request and what came of it; None while the outcome is unknown."""

    request: dict[str, Any]
    outcome: Any
    at: datetime
    """The instant that it is about, UTC."""


@dataclass(frozen=True)
class Asked:
    """One answered request."""

    request: dict[str, Any]
    answer: dict[str, Any]
    outcome: Any
    latency_ms: float


@dataclass(frozen=True)
class Server:
    """A server found or started, and what its /model says."""

    host: str
    port: int
    model: dict[str, Any]
    token: str | None = field(default=None, repr=False)
    """To be shown with each request, where the server wants one."""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


def labelled_requests(
    table: str, fields: Sequence[str], label: str, *, instant: datetime, count: int
) -> list[LabelledRequest]:
    """The first `count` rows of the label table at or after `instant`, reduced to what a request names.

    When the table ends before `instant`, its last rows. Raises MissingTableError or MissingColumnsError.
    """
    from larder.offline.retrieval.conditions import Between
    from larder.offline.tables.delta_table import open_table
    from larder.offline.tables.rows import rows_of

    try:
        labels = open_table(table)
    except MissingTableError as problem:
        raise MissingTableError(f"There is no label table at {table}. Run `larder ingest` first.") from problem
    stored = [column.name for column in labels.schema().fields]
    if missing := {*fields, label, EVENT_TIMESTAMP} - set(stored):
        raise MissingColumnsError(
            f"The label table {table} lacks {sorted(missing)}, which a request needs; it has {stored}. "
            "Add them where the pipelines write it."
        )
    columns = list(dict.fromkeys([EVENT_TIMESTAMP, *fields, label]))
    order = [(name, "ascending") for name in columns]
    later = Between(EVENT_TIMESTAMP, instant, datetime.max.replace(tzinfo=UTC))
    found = rows_of(labels, columns, [later]).sort_by(order).slice(0, count)
    if not found.num_rows:
        found = rows_of(labels, columns).sort_by(order)
        found = found.slice(max(0, found.num_rows - count))
    return [
        LabelledRequest({name: row[name] for name in fields}, row[label], row[EVENT_TIMESTAMP])
        for row in found.to_pylist()
    ]


def asked(server: Server, requests: Sequence[LabelledRequest]) -> list[Asked]:
    """Each request's answer, with the features used, one call per request over one connection."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=_SECONDS_PER_REQUEST)
    results = []
    try:
        for item in requests:
            body = msgspec.json.encode({"rows": [item.request]})
            started = time.perf_counter()
            content = _call(connection, "POST", "/predict?explain=true", server.token, body)
            latency_ms = (time.perf_counter() - started) * 1000
            results.append(Asked(item.request, content["predictions"][0], item.outcome, latency_ms))
    finally:
        connection.close()
    return results


@contextmanager
def running_server(settings: Settings, name: str) -> Iterator[Server]:
    """The server at the configured address; when none runs there, one of our own for the duration."""
    token = tokens_of(settings.tokens)[0] if settings.tokens else None
    model = _model_at(settings.host, settings.port, token)
    if model is not None:
        if model.get("model") != name:
            raise InvalidDataError(
                f"http://{settings.host}:{settings.port} serves {model.get('model')!r}, not {name!r}. "
                "Set LARDER_PORT to the right server's, or to a free one."
            )
        yield Server(settings.host, settings.port, model, token)
        return
    settings.state.mkdir(parents=True, exist_ok=True)
    log = settings.state / "serve.log"
    # The child inherits a socket that listens already, so there is no port to agree on and nothing to poll.
    with listening_socket("127.0.0.1", 0) as listener, open(log, "w") as output:
        host, port = listener.getsockname()
        command = [sys.executable, "-m", "larder", "serve", "--fd", str(listener.fileno())]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, pass_fds=[listener.fileno()])
    try:
        yield _started(host, port, log, token)
    finally:
        process.terminate()
        process.wait()


def _started(host: str, port: int, log: Path, token: str | None) -> Server:
    """The server just started; its first answer comes when it is ready. Raises when it ended instead."""
    try:
        model = _model_at(host, port, token, seconds=SECONDS_TO_START)
    except OnlineStoreError:
        model = None
    if model is None:
        raise OnlineStoreError(f"No server could be started. Its last words, from {log}: {_last_line(log)}")
    return Server(host, port, model, token)


def _model_at(
    host: str, port: int, token: str | None, *, seconds: float = _SECONDS_PER_REQUEST
) -> dict[str, Any] | None:
    """What /model says; None when nothing listens there."""
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    with suppress(ConnectionRefusedError):
        try:
            return _call(connection, "GET", "/model", token)
        finally:
            connection.close()
    return None


def _call(
    connection: http.client.HTTPConnection, method: str, path: str, token: str | None, body: bytes | None = None
) -> dict[str, Any]:
    where = f"http://{connection.host}:{connection.port}{path}"
    try:
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, body, {"Content-Type": "application/json"} | shown)
        response = connection.getresponse()
        content = msgspec.json.decode(response.read())
    except ConnectionRefusedError:
        raise
    except (OSError, http.client.HTTPException, msgspec.DecodeError) as problem:
        raise OnlineStoreError(
            f"{where} did not answer as a server of Larder does: {problem or type(problem).__name__}. "
            "Set LARDER_PORT to a free port or to the right server's."
        ) from problem
    if response.status != http.client.OK:
        raise OnlineStoreError(f"{where} answered {response.status}: {content.get('error', content)}")
    return dict(content)


def _last_line(log: Path) -> str:
    lines = log.read_text().split("\n") if log.is_file() else []
    return next((line for line in reversed(lines) if line.strip()), "none")
