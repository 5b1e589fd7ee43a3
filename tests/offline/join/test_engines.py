"""Which engine is chosen, and that a FeatureStore gives the same rows through either."""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureView, Field
from feast.types import Float64, String
from feast.value_type import ValueType

from larder.offline import DeltaSource
from tests.offline.project import feature_store, write_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

INSTANT = pa.timestamp("us", tz="UTC")
TEN = datetime(2020, 1, 1, 10, tzinfo=UTC)


def retrieved(folder: Path, **offline_store: Any) -> Any:
    """The job for two shops, one of them unknown, through a store of its own."""
    write_table(
        folder,
        "sales",
        pa.table(
            {
                "shop_id": ["a", "a"],
                "event_timestamp": pa.array([TEN, TEN + timedelta(hours=1)], INSTANT),
                "amount": [1.0, 2.0],
            }
        ),
    )
    store = feature_store(folder, **offline_store)
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING)
    sales = FeatureView(
        name="sales",
        entities=[shop],
        source=DeltaSource(name="sales_source", path="sales", timestamp_field="event_timestamp"),
        schema=[Field(name="shop_id", dtype=String), Field(name="amount", dtype=Float64)],
    )
    store.apply([shop, sales])
    asked = pa.table({"shop_id": ["b", "a"], "event_timestamp": pa.array([TEN, TEN], INSTANT)})
    return store.get_historical_features(asked.to_pandas(), features=["sales:amount"])


def test_a_store_answers_through_spark_as_in_this_process(spark: "SparkSession", tmp_path: Path):
    jobs = [retrieved(tmp_path / engine, engine=engine) for engine in ("spark", "embedded")]

    assert [job.engine.name for job in jobs] == ["spark", "embedded"]
    assert jobs[0].to_arrow() == jobs[1].to_arrow()
    assert jobs[0].to_arrow()["amount"].to_pylist() == [None, 1.0]


@pytest.mark.parametrize(("limit", "name"), [(1.0, "embedded"), (0.0, "spark")])
def test_auto_chooses_by_the_bytes_that_may_be_read_and_says_so(tmp_path: Path, limit: float, name: str):
    job = retrieved(tmp_path, engine="auto", spark_from_gigabytes=limit)

    assert job.engine.name == name
    assert job.engine.reason == f"0.0 GB of history, and Spark begins at {limit:g} GB"


def test_spark_keeps_its_state_with_the_repository_and_not_where_it_was_called_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "feature_store.yaml").write_text("project: shop")
    states = list[Path]()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("larder.spark.session.spark_session", lambda settings, **_: states.append(settings.state))

    with contextlib.suppress(AttributeError):  # of a session that is None
        retrieved(tmp_path / "repository", engine="spark").to_arrow()

    assert states == [tmp_path / "repository" / ".larder"]
