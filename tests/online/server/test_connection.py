import os
import signal
import time

import pytest
import redis

from larder.contracts.errors import ConfigurationError, OnlineStoreError
from larder.contracts.settings import Settings
from larder.online.reader import FeatureReader
from larder.online.server import embedded
from larder.online.server.connection import client_address, connect, redis_failures, without_password
from tests.online.rows import NOON, plan, view


def test_a_frozen_redis_costs_no_more_than_the_time_out(own_redis: Settings) -> None:
    address = embedded.start(own_redis)
    reader = FeatureReader(plan(view()), address, lambda: NOON)
    reader.read([{"user": "ann"}])
    with redis.Redis.from_url(address) as client:
        pid = client.info("server")["process_id"]

    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(2):  # on the open connection, then on a new one
            started = time.monotonic()
            with pytest.raises(OnlineStoreError, match=r"does not answer.*larder up"):
                reader.read([{"user": "ann"}])
            assert time.monotonic() - started < 1
    finally:
        os.kill(pid, signal.SIGCONT)

    assert reader.read([{"user": "ann"}]).values == [[None]]


def test_an_absent_redis_is_one_sentence_with_the_remedy() -> None:
    client = connect("redis://:secret@127.0.0.1:1/0")

    with (
        pytest.raises(OnlineStoreError, match=r"redis://127\.0\.0\.1:1/0 does not answer.*LARDER_REDIS") as failure,
        redis_failures(client),
    ):
        client.ping()
    assert "secret" not in str(failure.value)


def test_a_refused_command_is_an_online_store_error(redis_client: redis.Redis) -> None:
    with pytest.raises(OnlineStoreError, match="refused"), redis_failures(redis_client):
        redis_client.execute_command("NONSENSE")


@pytest.mark.parametrize("address", ["localhost:6379", "http://localhost", "redis://localhost:port/0", ""])
def test_an_address_that_is_none_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(ConfigurationError, match="LARDER_REDIS"):
        connect(address)


def test_addresses_are_shown_without_the_password() -> None:
    assert without_password("redis://me:secret@host:6379/0") == "redis://***@host:6379/0"
    assert client_address(connect("unix:///run/a b.sock?password=secret")) == "unix:///run/a b.sock"
