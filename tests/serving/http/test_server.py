"""The server as a process of its own, started as a user starts it."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from deltalake import DeltaTable

from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.online.server import embedded
from serving.http import server as server_module
from serving.http.server import listening_socket

HEAVY = ("feast", "mlflow", "pyspark", "pandas", "sklearn")
START = """
import sys, time
from larder.contracts.settings import load_settings
from serving.app import create_app
app = create_app(load_settings())
print(time.process_time(), *(name for name in sys.argv[1:] if name in sys.modules))
"""

SERVE_AND_STORE_ALL_THE_TIME = """
import sys
from functools import partial
import serving.app
serving.app.PredictionLogger = partial(serving.app.PredictionLogger, seconds=0.02)
from larder.cli import main
sys.argv = ["larder", "serve", "--fd", sys.argv[1]]
main()
"""


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "LARDER_HOME": str(settings.home),
        "LARDER_CLOCK": "2024-03-01T12:00:00Z",
    }


@contextmanager
def _serving(environment: dict[str, str], *options: str, fds: tuple[int, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "larder", "serve", *options]
    process = subprocess.Popen(
        command, env=environment, pass_fds=fds, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_server_starts_without_feast_mlflow_or_spark_within_two_cpu_seconds(
    environment: dict[str, str], promote: Any, materialize: Callable[[], None]
):
    materialize()
    promote("1")
    command = [sys.executable, "-c", START, *HEAVY]

    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    seconds, *imported = output.split()
    assert imported == []
    assert float(seconds) < 2.0


def test_a_terminated_server_answers_what_is_under_way_writes_its_log_and_ends_well(
    environment: dict[str, str], settings: Settings, promote: Any, materialize: Callable[[], None], known: Any
):
    materialize()
    promote("1")
    body = b'{"rows": [{"shop": "north", "customer": 7, "amount": 1, "ordered_at": "2024-03-01T12:00:00Z"}]}'
    with listening_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with _serving(environment, "--fd", str(listener.fileno()), fds=(listener.fileno(),)) as process:
            idle = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            idle.request("GET", "/health")
            assert idle.getresponse().read() == b'{"status":"alive"}'
            half_sent = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            half_sent.putrequest("POST", "/predict")
            half_sent.putheader("Content-Type", "application/json")
            half_sent.putheader("Content-Length", str(len(body)))
            half_sent.endheaders(body[:10])
            time.sleep(0.2)

            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            half_sent.send(body[10:])
            answered = half_sent.getresponse()

            assert answered.status == 200
            assert answered.headers["connection"] == "close"
            assert answered.read()  # to its end, which also closes the socket that the connection handed over
            assert process.wait(timeout=20) == 0
            half_sent.close()
            idle.close()
    assert DeltaTable(Lake(settings.lake).predictions("returns")).to_pyarrow_table().num_rows == 1


@pytest.mark.parametrize("promoted", [True, False])
def test_a_server_that_cannot_start_says_why_in_one_line(
    environment: dict[str, str], promote: Any, materialize: Callable[[], None], promoted: bool
):
    materialize()
    if promoted:
        promote("1")
    with listening_socket("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        with _serving(environment, "--port", port) as process:
            output, _ = process.communicate(timeout=60)

    assert process.returncode == 2
    assert len(output.strip().split("\n")) == 1
    assert ("Address already in use" if promoted else "larder promote") in output


def test_an_unreachable_redis_is_named_at_start(environment: dict[str, str], promote: Any):
    promote("1")
    with _serving(environment | {"LARDER_REDIS": "redis://127.0.0.1:1"}, "--port", "0") as process:
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "redis://127.0.0.1:1" in output


def test_a_port_in_use_is_refused_with_the_address():
    with listening_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}"):
            listening_socket("127.0.0.1", port)


def test_a_sender_too_slow_with_its_headers_is_cut_off(server: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module, "SECONDS_FOR_A_REQUEST", 0.2)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as slow:
        slow.sendall(b"GET /health HT")
        assert slow.recv(1) == b""


def test_a_sender_too_slow_with_its_body_is_cut_off(server: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module, "SECONDS_FOR_A_REQUEST", 0.2)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as slow:
        slow.sendall(head)
        answer = b"".join(iter(lambda: slow.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 408")
    assert answer.endswith(b'or fewer rows at once."}')


def test_a_slow_sender_waits_for_no_second_answer(server: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module, "SECONDS_FOR_A_REQUEST", 0.2)
    refused = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as slow:
        slow.sendall(refused)
        answer = b"".join(iter(lambda: slow.recv(4096), b""))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 415")


def test_an_answer_without_a_body_is_sent(server: Any):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as caller:
        caller.sendall(_head(path="HEAD /health"))
        assert caller.recv(65536).endswith(b"\r\n\r\n")
        caller.sendall(_head(path="GET /health"))
        assert caller.recv(65536).endswith(b'{"status":"alive"}')  # head and body in one piece


def test_an_embedded_redis_is_started_with_the_server(settings: Settings, promote: Any):
    from serving.app import create_app

    promote("1")

    create_app(settings)

    assert embedded.address(settings) is not None


ASK = b'{"rows": [{"shop": "north", "customer": 7, "amount": 1, "ordered_at": "2024-03-01T12:00:00Z"}]}'


def _head(*lines: str, path: str = "POST /predict") -> bytes:
    return "\r\n".join([f"{path} HTTP/1.1", "Host: x", "Content-Type: application/json", *lines, "", ""]).encode()


def test_a_caller_who_waits_to_be_asked_for_the_body_is_asked(server: Any):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as caller:
        caller.sendall(_head(f"Content-Length: {len(ASK)}", "Expect: 100-continue"))
        assert caller.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.sendall(ASK)
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_questions_sent_at_once_are_answered_in_their_order(server: Any):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as caller:
        close = _head("Connection: close", path="GET /health")
        caller.sendall(_head(path="GET /nothing") + _head(f"Content-Length: {len(ASK)}") + ASK + close)
        answers = b"".join(iter(lambda: caller.recv(65536), b""))

    assert [answer[:3] for answer in answers.split(b"HTTP/1.1 ")] == [b"", b"404", b"200", b"200"]
    assert answers.endswith(b'{"status":"alive"}')


@pytest.mark.parametrize("killed", ["server", "writer", "both"])
def test_each_answer_given_is_logged_once_whoever_is_killed_at_whatever_instant(
    environment: dict[str, str],
    settings: Settings,
    promote: Any,
    materialize: Callable[[], None],
    known: Any,
    killed: str,
):
    materialize()
    promote("1")
    instants = random.Random(killed)
    answered: list[str] = []
    with listening_socket("127.0.0.1", 0) as listener:
        for _ in range(4):
            with _storing_all_the_time(environment, listener) as process, _asking(listener, known, answered):
                time.sleep(instants.uniform(0.3, 1.5))
                _kill(process, killed)
        with _storing_all_the_time(environment, listener) as process:
            process.terminate()
            assert process.wait(timeout=60) == 0
    # The writers of killed servers may still be at work on what these left.
    _until(lambda: not list((settings.state / "spool" / "returns").iterdir()))

    logged = Counter(DeltaTable(Lake(settings.lake).predictions("returns")).to_pyarrow_table()["answer_id"].to_pylist())
    assert len(answered) > 20
    assert set(answered) <= set(logged)
    assert set(logged.values()) == {1}


def test_two_servers_of_one_project_log_all_that_each_answers(
    environment: dict[str, str], settings: Settings, promote: Any, materialize: Callable[[], None], known: Any
):
    materialize()
    promote("1")
    answered: list[str] = []
    with (
        listening_socket("127.0.0.1", 0) as one,
        listening_socket("127.0.0.1", 0) as other,
        _storing_all_the_time(environment, one) as first,
        _storing_all_the_time(environment, other) as second,
    ):
        with _asking(one, known, answered), _asking(other, known, answered):
            time.sleep(1)
        for process in (first, second):
            process.terminate()
            assert process.wait(timeout=60) == 0

    logged = DeltaTable(Lake(settings.lake).predictions("returns")).to_pyarrow_table()["answer_id"].to_pylist()
    assert sorted(logged) == sorted(answered)


@contextmanager
def _storing_all_the_time(environment: dict[str, str], listener: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers, whose writer looks for rows fifty times a second; killed afterwards, if need be."""
    command = [sys.executable, "-c", SERVE_AND_STORE_ALL_THE_TIME, str(listener.fileno())]
    process = subprocess.Popen(command, env=environment, pass_fds=[listener.fileno()], cwd=Path(__file__).parents[3])
    connection = http.client.HTTPConnection(*listener.getsockname(), timeout=60)
    connection.request("GET", "/health")
    connection.getresponse().read()
    connection.close()
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def _asking(listener: socket.socket, row: Any, answered: list[str]) -> Iterator[None]:
    """Ask without a pause for the block or until the server dies; the ids of what it answered go to `answered`."""
    is_over = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection(*listener.getsockname(), timeout=60)
        body = json.dumps({"rows": [row]})
        try:
            while not is_over.is_set():
                connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                content = json.loads(response.read())
                if response.status == http.client.OK:  # a busy Redis may have refused to answer
                    answered.append(content["id"])
        except (OSError, http.client.HTTPException, ValueError):
            pass  # killed while it answered
        finally:
            connection.close()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        is_over.set()
        asking.join()


def _kill(server: subprocess.Popen[bytes], killed: str) -> None:
    """With SIGKILL. Of the writer alone: its server goes on for a while."""
    writers = [child for child in psutil.Process(server.pid).children() if "serving.log.writer" in child.cmdline()]
    assert writers
    if killed != "server":
        for writer in writers:
            writer.kill()
    if killed == "writer":
        time.sleep(0.2)
    server.kill()
