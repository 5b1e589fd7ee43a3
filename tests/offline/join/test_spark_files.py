"""FileSource through the Spark engine: the answers of the embedded one, from every kind of file."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from deltalake import write_deltalake
from feast import Entity, FeatureView, FileSource
from feast.value_type import ValueType

from tests.offline.project import feature_store
from tests.offline.shop import at

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NAIVE = pd.DataFrame(
    {
        "driver": [1, 1, 2, 2],
        "ts": pd.to_datetime(["2020-01-01 10:00", "2020-01-01 11:00", "2020-01-01 10:00", "2020-01-01 10:00"]),
        "created": pd.to_datetime(["2020-01-01 10:00", "2020-01-01 11:00", "2020-01-01 10:00", "2020-01-01 10:30"]),
        "trips": [10, 20, 30, 31],
    }
)


@pytest.mark.parametrize("path", ["trips.parquet", "trips folder", "trips delta"])
def test_files_with_naive_times_are_joined_on_spark_as_in_this_process(
    spark: "SparkSession", tmp_path: Path, path: str
):
    place = tmp_path / path
    if path.endswith("delta"):
        write_deltalake(place, NAIVE)
    elif path.endswith("folder"):
        place.mkdir()
        for number, (_, rows) in enumerate(NAIVE.groupby("driver")):
            rows.to_parquet(place / f"{number}.parquet", index=False)
    else:
        NAIVE.to_parquet(place, row_group_size=2)
    driver = Entity(name="driver", join_keys=["driver"], value_type=ValueType.INT64)
    source = FileSource(path=path, timestamp_field="ts", created_timestamp_column="created")
    request = pd.DataFrame(
        {"driver": [2, 1, 3, 1], "event_timestamp": [at("10:05"), at("10:59"), at("12:00"), at("12:00")]}
    )

    jobs = []
    for engine in ("spark", "embedded"):
        store = feature_store(tmp_path, engine=engine)
        store.apply([driver, FeatureView(name="trips", entities=[driver], source=source)])
        jobs.append(store.get_historical_features(request, features=["trips:trips"]))

    assert [job.engine.name for job in jobs] == ["spark", "embedded"]
    assert jobs[0].to_arrow() == jobs[1].to_arrow()
    assert jobs[0].to_arrow()["trips"].to_pylist() == [31, 10, None, 20]
