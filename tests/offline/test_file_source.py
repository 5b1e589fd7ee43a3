"""Feast's FileSource, as an existing Feast repository has it: only `offline_store` in its YAML changes."""

import runpy
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from feast import FeatureStore, FileSource
from feast.data_format import ParquetFormat

from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingColumnsError, MissingTableError
from larder.offline.history import History, source_history
from larder.offline.retrieval.conditions import Between, key_range, time_range
from larder.offline.retrieval.reading import StoredRows, read_history
from larder.offline.tables.opening import open_history
from larder.offline.tables.parquet import ParquetFiles
from larder.offline.tables.parquet_writing import append_parquet, replace_parquet
from tests.offline.project import feature_store
from tests.offline.shop import at

NAIVE = pd.DataFrame(
    {
        "driver": [1, 1, 2],
        "ts": pd.to_datetime(["2020-01-01 10:00", "2020-01-01 11:00", "2020-01-01 10:00"]),
        "created": pd.to_datetime(["2020-01-01 10:00", "2020-01-01 11:00", "2020-01-01 10:00"]),
        "trips": [10, 20, 30],
    }
)
PLACES = ["data/trips.parquet", "data/trips", "data/trips delta"]
YAML = """
project: rides
provider: local
registry: registry.db
offline_store:
  type: larder.offline.DeltaOfflineStore
online_store:
  type: sqlite
  path: online.db
entity_key_serialization_version: 3
"""
DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.data_format import {form}
from feast.types import Int64

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
trips = FeatureView(
    name="trips",
    entities=[driver],
    ttl=timedelta(days=1),
    source=FileSource(
        path="{path}",
        file_format={form}(),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
        field_mapping={{"driver": "driver_id", "ts": "event_timestamp"}},
    ),
)
"""


def written(folder: Path, path: str) -> None:
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.endswith(".parquet"):
        NAIVE.to_parquet(place)
    elif path.endswith("delta"):
        write_deltalake(place, NAIVE)
    else:
        place.mkdir()
        NAIVE.iloc[:1].to_parquet(place / "first.parquet")
        NAIVE.iloc[1:].to_parquet(place / "second.parquet")
        (place / "_SUCCESS").touch()


def history(path: Path, **options: object) -> History:
    config = feature_store(path.parent).config
    source = FileSource(path=str(path), timestamp_field="ts", **options)  # type: ignore[arg-type]
    return source_history(source, config, keys=["driver"], features=["trips"], columns={})


def repository(folder: Path, path: str) -> FeatureStore:
    """An applied Feast repository, its schema inferred from the files."""
    written(folder, path)
    (folder / "feature_store.yaml").write_text(YAML)
    form = "DeltaFormat" if path.endswith("delta") else "ParquetFormat"
    (folder / "rides.py").write_text(DEFINITIONS.format(path=path, form=form))
    store = FeatureStore(repo_path=str(folder))
    definitions = runpy.run_path(str(folder / "rides.py"))
    store.apply([definitions["driver"], definitions["trips"]])
    return store


@pytest.mark.parametrize("path", PLACES)
def test_a_feast_repository_works_after_the_offline_store_in_its_yaml_changed(tmp_path: Path, path: str):
    store = repository(tmp_path, path)
    request = pd.DataFrame(
        {"driver_id": [1, 1, 2, 3], "event_timestamp": [at("10:30"), at("11:00"), at("09:59"), at("12:00")]}
    )

    job = store.get_historical_features(request, features=["trips:trips"])
    store.materialize(at("00:00"), at("12:00"))
    online = store.get_online_features(["trips:trips"], [{"driver_id": 1}, {"driver_id": 2}])

    assert job.to_arrow()["trips"].to_pylist() == [10, 20, None, None]
    assert job.versions == ({str(tmp_path / path): 0} if path.endswith("delta") else {})
    assert online.to_dict()["trips"] == [20, 30]


@pytest.mark.parametrize("path", PLACES)
def test_sql_reads_files_with_their_naive_times_as_utc(tmp_path: Path, path: str):
    store = repository(tmp_path, path)

    query = f'SELECT driver AS driver_id, ts AS event_timestamp FROM "{path}" WHERE trips > 15 ORDER BY driver_id'
    found = store.get_historical_features(query, features=["trips:trips"]).to_arrow()

    assert found["event_timestamp"].to_pylist() == [at("11:00"), at("10:00")]
    assert found["trips"].to_pylist() == [20, 30]


@pytest.mark.parametrize("path", PLACES)
def test_rows_pushed_to_files_are_read_back_beside_the_older_ones(tmp_path: Path, path: str):
    store = repository(tmp_path, path)
    rows = pd.DataFrame({"driver": [1], "ts": [at("11:30")], "created": [at("11:30")], "trips": [21]})

    store.write_to_offline_store("trips", rows)

    request = pd.DataFrame({"driver_id": [1, 1], "event_timestamp": [at("11:15"), at("11:30")]})
    assert store.get_historical_features(request, ["trips:trips"]).to_arrow()["trips"].to_pylist() == [20, 21]
    assert open_history(history(tmp_path / path)).schema.field("ts").type == pa.timestamp("us", tz="UTC")
    hidden = [file for file in tmp_path.rglob("*") if file.name.startswith(".") and not file.name.endswith(".crc")]
    assert hidden == []


def test_a_pushed_row_of_the_wrong_kind_leaves_the_file_as_it_was(tmp_path: Path):
    store = repository(tmp_path, "trips.parquet")
    before = (tmp_path / "trips.parquet").read_bytes()
    rows = pd.DataFrame({"driver": [1], "ts": [at("11:30")], "created": [at("11:30")], "trips": ["21"]})

    with pytest.raises(InvalidDataError, match="'trips'"):
        store.write_to_offline_store("trips", rows)

    assert (tmp_path / "trips.parquet").read_bytes() == before


def test_a_parquet_folder_that_is_a_delta_table_shows_no_deleted_rows(tmp_path: Path):
    written(tmp_path, "trips delta")
    DeltaTable(str(tmp_path / "trips delta")).delete("driver = 1")

    found = read_history(history(tmp_path / "trips delta", file_format=ParquetFormat()))

    assert found["driver"].to_pylist() == [2]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_a_range_of_time_finds_the_same_rows_in_every_unit_and_zone(tmp_path: Path, unit: str, zone: str | None):
    seconds = pa.array(range(1000), pa.int64())
    times = seconds.cast(pa.timestamp("s")).cast(pa.timestamp(unit, zone))
    pq.write_table(pa.table({"driver": seconds, "ts": times}), tmp_path / "times.parquet", row_group_size=10)
    past = replace(history(tmp_path / "times.parquet"), features=())

    bounds = time_range(past, since=datetime.fromtimestamp(100, UTC), until=datetime.fromtimestamp(109, UTC))
    found = pa.concat_tables(StoredRows(past, []).batches([bounds, Between("driver", 0, 105)]))

    assert sorted(found["driver"].to_pylist()) == list(range(100, 106))


def test_row_groups_outside_a_range_of_time_are_not_read(tmp_path: Path):
    seconds = pa.array(range(1000), pa.int64())
    rows = pa.table({"driver": seconds, "ts": seconds.cast(pa.timestamp("s"))})
    pq.write_table(rows, tmp_path / "times.parquet", row_group_size=10)

    bounds = time_range(history(tmp_path / "times.parquet"), until=datetime.fromtimestamp(109, UTC))
    found = ParquetFiles(str(tmp_path / "times.parquet"), {}).batches(["driver", "ts"], [bounds])

    assert sum(batch.num_rows for batch in found) <= 120


def test_a_write_that_breaks_off_leaves_the_file_as_it_was(tmp_path: Path):
    written(tmp_path, "trips.parquet")
    rows = pa.Table.from_pandas(NAIVE)

    def half() -> Iterator[pa.RecordBatch]:
        yield from rows.to_batches()
        raise InvalidDataError("a later batch does not fit")

    with pytest.raises(InvalidDataError):
        replace_parquet(str(tmp_path / "trips.parquet"), pa.RecordBatchReader.from_batches(rows.schema, half()), {})

    assert read_history(history(tmp_path / "trips.parquet")).num_rows == 3
    assert [file.name for file in tmp_path.iterdir() if file.suffix != ".db"] == ["trips.parquet"]


@pytest.mark.parametrize("text", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_a_range_of_keys_finds_text_in_every_layout(tmp_path: Path, text: pa.DataType):
    rows = pa.table({"driver": pa.array(["a", "b", "c"]).cast(text), "ts": [at("10:00")] * 3, "trips": [1, 2, 3]})
    pq.write_table(rows, tmp_path / "text.parquet")
    past = history(tmp_path / "text.parquet")

    found = pa.concat_tables(StoredRows(past, ["trips"]).batches([key_range(past, "b", "c")]))

    assert found["trips"].to_pylist() == [2, 3]


def test_a_range_of_keys_finds_numbers_of_64_bits_without_a_sign(tmp_path: Path):
    keys = pa.array([5, 2**63 + 7, 2**64 - 1], pa.uint64())
    pq.write_table(pa.table({"driver": keys, "ts": [at("10:00")] * 3, "trips": [1, 2, 3]}), tmp_path / "hashes.parquet")
    past = history(tmp_path / "hashes.parquet")

    found = pa.concat_tables(StoredRows(past, ["trips"]).batches([key_range(past, 2**63 + 7, 2**64 - 1)]))

    assert found["trips"].to_pylist() == [2, 3]


def test_bounds_beyond_nanoseconds_leave_all_rows_of_a_file_in_nanoseconds(tmp_path: Path):
    written(tmp_path, "trips.parquet")

    found = read_history(history(tmp_path / "trips.parquet"), until=datetime(9999, 1, 1, tzinfo=UTC))

    assert found.num_rows == 3


def test_files_of_a_folder_may_differ_in_the_width_of_numbers_but_not_in_kind(tmp_path: Path):
    folder = tmp_path / "trips"
    written(tmp_path, "trips")
    NAIVE.assign(trips=NAIVE["trips"].astype("int32")).to_parquet(folder / "third.parquet")
    assert read_history(history(folder))["trips"].type == pa.int64()

    NAIVE.assign(trips="x").to_parquet(folder / "fourth.parquet")
    with pytest.raises(InvalidDataError, match="trips"):
        read_history(history(folder))


def test_a_damaged_file_is_an_error_and_no_shorter_result(tmp_path: Path):
    folder = tmp_path / "trips"
    written(tmp_path, "trips")
    content = (folder / "second.parquet").read_bytes()
    (folder / "second.parquet").write_bytes(content[: len(content) // 2])

    with pytest.raises(InvalidDataError, match=r"trips.*second"):
        read_history(history(folder))


def test_categories_in_one_file_and_text_in_another_are_one_column(tmp_path: Path):
    folder = tmp_path / "trips"
    written(tmp_path, "trips")
    NAIVE.assign(city="Rome").to_parquet(folder / "text.parquet")
    NAIVE.assign(city=pd.Categorical(["Oslo", None, "Oslo"])).to_parquet(folder / "categories.parquet")

    found = read_history(replace(history(folder), features=("city",)))["city"]

    assert Counter(found.to_pylist()) == {"Oslo": 2, None: 4, "Rome": 3}


def test_a_partitioned_folder_is_read_with_its_partitions_and_takes_no_single_rows(tmp_path: Path):
    pq.write_to_dataset(pa.Table.from_pandas(NAIVE), tmp_path / "trips", partition_cols=["trips"])

    assert sorted(read_history(history(tmp_path / "trips"))["trips"].to_pylist()) == [10, 20, 30]
    with pytest.raises(ConfigurationError, match="partitions"):
        append_parquet(str(tmp_path / "trips"), pa.Table.from_pandas(NAIVE), {})


def test_missing_files_and_columns_are_named(tmp_path: Path):
    store = feature_store(tmp_path)
    offline = store._get_provider().offline_store
    written(tmp_path, "trips.parquet")
    (tmp_path / "empty").mkdir()

    offline.validate_data_source(store.config, FileSource(path="later.parquet", timestamp_field="ts"))
    with pytest.raises(MissingColumnsError, match=r"'at'.*created"):
        offline.validate_data_source(store.config, FileSource(path="trips.parquet", timestamp_field="at"))
    for path in ("later.parquet", "empty"):
        with pytest.raises(MissingTableError, match=f"no Parquet file at .*{path}"):
            read_history(history(tmp_path / path))
