"""Both layouts behind Feast's interface, and the way from one to the other, on a Redis Cluster."""

import asyncio
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from larder.online.layouts.migration import delete_migrated, migrated
from larder.online.server.connection import connect
from tests.online import feast_shop
from tests.online.feast_shop import answers, user, visits
from tests.online.server.conftest import Server, cluster_address

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
USERS = [f"user {number}" for number in range(40)]
ROWS = [{"user_id": name} for name in USERS]
SCORES = [(float(number), "PRESENT") for number in range(40)]


def test_rows_of_feasts_layout_are_migrated_and_deleted_on_all_nodes(
    tmp_path: Path, cluster: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LARDER_CLOCK", NOW.isoformat())
    address = cluster_address(cluster)
    frame = pd.DataFrame({"user_id": USERS, "score": range(40), "event_timestamp": NOW}).astype({"score": float})
    old = feast_shop.applied_store(tmp_path / "old", address, user, visits, layout="feast")
    old.write_to_online_store("visits", frame)
    assert answers(old, "visits:score", *ROWS) == SCORES
    store = feast_shop.applied_store(tmp_path / "new", address, user, visits)

    with closing(connect(address, timeout_seconds=10)) as client:
        deleted = [delete_migrated(client, batch) for batch in migrated(store, client, client, now=NOW)]

    assert sum(deleted) == len(USERS)
    assert answers(store, "visits:score", *ROWS) == SCORES
    assert answers(old, "visits:score", *ROWS) == [(None, "PRESENT")] * 40

    async def scores() -> Any:
        response = await store.get_online_features_async(["visits:score"], ROWS)
        await store.close()
        return response.to_dict()["score"]

    assert asyncio.run(scores()) == [score for score, _ in SCORES]
    store.teardown()
    assert sum(node.client().dbsize() for node in cluster) == 0
