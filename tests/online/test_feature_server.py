"""`feast serve` on our store: what a client did wrong is its own error, with a sentence, and no failure of ours."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import redis
import uvicorn
from feast import FeatureStore
from feast.feature_server import get_app

from larder.contracts.settings import Settings
from larder.online.server import embedded
from larder.online.server.embedded import online_address
from tests.online import feast_shop

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
Post = Callable[[str, dict[str, Any]], tuple[int, str]]
"""Path and body -> status and text."""


@contextmanager
def served(store: FeatureStore) -> Iterator[Post]:
    server = uvicorn.Server(uvicorn.Config(get_app(store, registry_ttl_sec=0), port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]

    def post(path: str, body: dict[str, Any]) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    try:
        yield post
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def post(
    tmp_path: Path, redis_settings: Settings, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Post]:
    monkeypatch.setenv("LARDER_CLOCK", NOW.isoformat())
    with served(feast_shop.applied_store(tmp_path, online_address(redis_settings))) as post:
        yield post


@pytest.mark.parametrize(
    ("entities", "words"),
    [
        ({"user_id": ["ann"]}, "lacks the join key 'shop_id'"),
        ({"user_id": ["ann"], "shop_id": [7.5]}, "'shop_id' must be an integer of 64 bits; it is 7.5"),
        ({"user_id": [True], "shop_id": [7]}, "'user_id' must be Unicode text; it is True"),
    ],
)
def test_entities_that_cannot_be_looked_up_are_the_clients_error(
    post: Post, entities: dict[str, Any], words: str
) -> None:
    status, text = post("/get-online-features", {"features": ["loyalty:points"], "entities": entities})

    assert status == 422
    assert words in json.loads(json.loads(text))["message"]


def test_rows_that_cannot_be_stored_are_the_clients_error(post: Post) -> None:
    rows = {"user_id": ["ann"], "event_timestamp": ["2024-05-01T12:00:00Z"], "score": [1.0]}

    assert post("/write-to-online-store", {"feature_view_name": "visits", "df": rows})[0] == 200
    request = {"features": ["visits:score"], "entities": {"user_id": ["ann", "eve"]}}
    status, text = post("/get-online-features", request)
    column = json.loads(text)["results"][1]

    assert (status, column["values"], column["statuses"]) == (200, [1.0, None], ["PRESENT", "NOT_FOUND"])


def test_vector_search_is_not_implemented(post: Post) -> None:
    status, text = post("/search", {"features": ["visits:score"], "query": [1.0], "top_k": 1})

    assert status == 501
    assert "has no vector search" in text


def test_a_redis_that_is_away_is_the_servers_failure_for_now(
    tmp_path: Path, own_redis: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LARDER_CLOCK", NOW.isoformat())
    store = feast_shop.applied_store(tmp_path / "shop", online_address(own_redis))
    with served(store) as post:
        embedded.stop(own_redis)
        status, text = post("/get-online-features", {"features": ["visits:score"], "entities": {"user_id": ["ann"]}})

    assert status == 503
    assert "does not answer" in text
