"""More requests than the server can answer: who would wait too long is refused at once, and nothing else fails."""

import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any

import pytest

import serving.app
from larder.contracts.settings import Settings
from serving.http.queue import Queue
from serving.online_store import OnlineStore
from tests.serving.conftest import serving as served

SECONDS_EACH = 0.02
CALLERS = 20


class Gate:
    """Holds up the answer that is under way, and with it all others."""

    def __init__(self, read: Any) -> None:
        self._read = read
        self._is_open = threading.Event()
        self._is_open.set()
        self.is_reached = threading.Event()

    def read(self, *arguments: Any) -> Any:
        time.sleep(SECONDS_EACH)
        self.is_reached.set()
        assert self._is_open.wait(10)
        return self._read(*arguments)

    @contextmanager
    def shut(self) -> Iterator[None]:
        self.is_reached.clear()
        self._is_open.clear()
        try:
            yield
        finally:
            self._is_open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    made, read = [], OnlineStore.read

    def gated(*arguments: Any) -> Any:
        return made[0].read(*arguments)

    made.append(Gate(read))
    monkeypatch.setattr(OnlineStore, "read", gated)
    return made[0]


@pytest.fixture
def busy(
    settings: Settings, promote: Any, materialize: Any, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A server that takes 20 ms for each answer and lets nobody wait for more than three of them."""
    monkeypatch.setattr(serving.app, "Queue", partial(Queue, 3 * SECONDS_EACH))
    materialize()
    promote("1")
    with served(settings) as client:
        yield client


def _request(body: bytes) -> bytes:
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def _answer(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    with closing(http.client.HTTPResponse(connection)) as response:
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, json.loads(response.read())


@contextmanager
def _crowd(busy: Any, gate: Gate, request: bytes, last: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections that have all sent their request, the last one perhaps another, before the first was answered."""
    for _ in range(30):  # it learns how long an answer takes
        assert busy.post(request.partition(b"\r\n\r\n")[2]).status == 200
    with ExitStack() as stack:
        callers = [stack.enter_context(_accepted(busy)) for _ in range(CALLERS)]
        with gate.shut():
            callers[0].sendall(request)
            assert gate.is_reached.wait(10)
            for caller in callers[1:-1]:
                caller.sendall(request)
            callers[-1].sendall(last or request)
        yield callers


def _accepted(busy: Any) -> socket.socket:
    """A connection that the server knows: of new ones it takes one after each answer."""
    connection = socket.create_connection(("127.0.0.1", busy.port), timeout=10)
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert _answer(connection)[0] == 200
    return connection


@pytest.fixture
def request_bytes(known: dict[str, Any]) -> bytes:
    return _request(json.dumps({"rows": [known]}).encode())


def test_who_would_wait_too_long_is_told_to_come_again_and_does(busy: Any, gate: Gate, request_bytes: bytes):
    with _crowd(busy, gate, request_bytes) as callers:
        answers = [_answer(caller) for caller in callers]

        statuses = Counter(status for status, _, _ in answers)
        assert set(statuses) == {200, 503} and statuses[503] >= CALLERS // 4
        for status, headers, content in answers:
            if status == 503:
                assert headers["retry-after"] == "1" and "Overloaded" in content["error"]
        for caller in callers:  # one after the other, on the same connections
            caller.sendall(request_bytes)
            assert _answer(caller)[0] == 200
    assert f"larder_requests_refused {statuses[503]:.1f}" in busy.get("/metrics").text


def test_an_overloaded_server_tells_operators_that_it_lives(busy: Any, gate: Gate, request_bytes: bytes):
    with _crowd(busy, gate, request_bytes) as callers:
        assert busy.get("/health").status == 200
        assert {_answer(caller)[0] for caller in callers} == {200, 503}


def test_the_body_of_a_refused_request_is_passed_over_whenever_it_comes(busy: Any, gate: Gate, request_bytes: bytes):
    with _crowd(busy, gate, request_bytes, last=request_bytes[:-5]) as callers:
        assert _answer(callers[-1])[0] == 503
        for caller in callers[:-1]:
            _answer(caller)
        callers[-1].sendall(request_bytes[-5:] + request_bytes)
        assert _answer(callers[-1])[0] == 200


def test_a_refused_caller_who_wants_one_answer_only_is_hung_up_on(busy: Any, gate: Gate, request_bytes: bytes):
    with _crowd(busy, gate, request_bytes, last=request_bytes.replace(b"HTTP/1.1", b"HTTP/1.0")) as callers:
        assert _answer(callers[-1])[0] == 503
        assert callers[-1].recv(1) == b""


def test_nobody_is_refused_while_nobody_waits_however_long_answers_take():
    queue = Queue(longest_wait_seconds=0.001)
    joined_at = queue.join()
    time.sleep(0.05)

    queue.leave(joined_at)

    assert not queue.is_full
    queue.join()
    assert queue.is_full


def test_who_gives_up_no_longer_counts():
    queue = Queue(longest_wait_seconds=0.001)
    joined_at = queue.join()
    time.sleep(0.05)
    queue.leave(joined_at)
    queue.join()

    queue.give_up()

    assert not queue.is_full
