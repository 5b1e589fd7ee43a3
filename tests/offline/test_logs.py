"""Served features, logged through Feast and read back."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from feast import FeatureService, FeatureStore
from feast.feature_logging import FeatureServiceLoggingSource, LoggingConfig, LoggingDestination
from feast.infra.offline_stores.file_source import FileLoggingDestination
from feast.infra.offline_stores.snowflake_source import SnowflakeLoggingDestination

from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingColumnsError, MissingTableError
from larder.offline import DeltaLoggingDestination
from tests.offline.shop import at

FEATURES = ["amount", "last_seen_at"]


def service(store: FeatureStore, destination: LoggingDestination, features: list[str] = FEATURES) -> FeatureService:
    """A service applied with this destination, as it comes back from the registry.

    Under a name of its own: Feast does not notice when only the logging of a service changes.
    """
    name = f"seen_{len(store.list_feature_services())}"
    view = store.get_feature_view("sales")
    store.apply([FeatureService(name=name, features=[view[features]], logging_config=LoggingConfig(destination))])
    return store.get_feature_service(name)


def logs(store: FeatureStore, seen: FeatureService, minute: int) -> pa.Table:
    schema = FeatureServiceLoggingSource(seen, store.project).get_schema(store.registry)
    moment = datetime(2020, 1, 1, 12, minute, tzinfo=UTC)
    values = {
        "shop_id": "a",
        "sales__amount": float(minute),
        "sales__pieces": minute,
        "sales__last_seen_at": datetime(2020, 1, 1, 9),  # Feast's loggers write it so
        "__log_timestamp": moment,
        "__log_date": date(2020, 1, 1),
        "__request_id": f"request {minute}",
    }
    columns = {
        name: values.get(name, 2 if name.endswith("__status") else moment.replace(second=0)) for name in schema.names
    }
    return pa.Table.from_pylist([columns], schema=schema)


def read(store: FeatureStore, seen: FeatureService, until: datetime) -> pa.Table:
    provider = store._get_provider()
    job = provider.retrieve_feature_service_logs(seen, at("12:00"), until, store.config, store.registry)
    return job.to_arrow().sort_by("__log_timestamp")


@pytest.mark.parametrize("as_path", [False, True])
@pytest.mark.parametrize(
    "destination",
    [
        lambda folder: DeltaLoggingDestination(path=f"{folder}/logs"),
        lambda folder: DeltaLoggingDestination(path=f"{folder}/my logs", partition_by=["__log_date"]),
        lambda folder: FileLoggingDestination(path=f"{folder}/logs"),
        lambda folder: FileLoggingDestination(path=f"{folder}/my logs", partition_by=["__log_date"]),
    ],
    ids=["delta", "delta by date", "files", "files by date"],
)
def test_logs_come_back_as_they_were_written(
    store: FeatureStore, tmp_path: Path, destination: Callable[[Path], LoggingDestination], as_path: bool
):
    seen = service(store, destination(tmp_path))

    for minute in (1, 2):
        batch = logs(store, seen, minute)
        if as_path:
            (tmp_path / str(minute)).mkdir()
            pq.write_table(batch, tmp_path / str(minute) / "0.parquet")
        store.write_logged_features(tmp_path / str(minute) if as_path else batch, source=seen)

    found = read(store, seen, at("12:02"))
    assert found["sales__amount"].to_pylist() == [1.0, 2.0]
    assert found["sales__last_seen_at"].to_pylist() == [at("09:00")] * 2
    assert found["__request_id"].to_pylist() == ["request 1", "request 2"]
    assert found["__log_date"].cast(pa.date32()).to_pylist() == [date(2020, 1, 1)] * 2
    assert read(store, seen, at("12:01"))["sales__amount"].to_pylist() == [1.0]


def test_a_feature_that_joined_the_service_is_null_in_older_logs(store: FeatureStore, tmp_path: Path):
    destination = DeltaLoggingDestination(path=str(tmp_path / "logs"))
    before = service(store, destination)
    store.write_logged_features(logs(store, before, 1), source=before)

    after = service(store, destination, [*FEATURES, "pieces"])
    store.write_logged_features(logs(store, after, 2), source=after)

    assert read(store, after, at("13:00"))["sales__pieces"].to_pylist() == [None, 2]
    assert DeltaTable(str(tmp_path / "logs")).version() == 1


def test_logs_of_another_type_or_without_a_column_are_refused(store: FeatureStore, tmp_path: Path):
    seen = service(store, DeltaLoggingDestination(path=str(tmp_path / "logs")))
    batch = logs(store, seen, 1)
    text = batch.set_column(batch.column_names.index("sales__amount"), "sales__amount", [["1.0"]])

    with pytest.raises(InvalidDataError, match="'sales__amount'"):
        store.write_logged_features(text, source=seen)
    with pytest.raises(MissingColumnsError, match="sales__amount__status"):
        store.write_logged_features(batch.drop_columns(["sales__amount__status"]), source=seen)
    with pytest.raises(MissingTableError):
        read(store, seen, at("13:00"))


def test_logs_of_a_feature_whose_type_changed_are_not_mixed_with_older_ones(store: FeatureStore, tmp_path: Path):
    seen = service(store, DeltaLoggingDestination(path=str(tmp_path / "logs")))
    older = pa.table({"sales__amount": ["1.0"], "__log_timestamp": [at("11:00")]})
    write_deltalake(str(tmp_path / "logs"), older)

    with pytest.raises(InvalidDataError, match=r"'sales__amount' of the logs is double, but string"):
        store.write_logged_features(logs(store, seen, 1), source=seen)


def test_other_destinations_are_refused(store: FeatureStore):
    seen = service(store, SnowflakeLoggingDestination(table_name="logs"))

    with pytest.raises(ConfigurationError, match="SnowflakeLoggingDestination"):
        store.write_logged_features(logs(store, seen, 1), source=seen)


def test_a_destination_comes_back_from_the_registry_equal(store: FeatureStore):
    seen = service(store, DeltaLoggingDestination(path="logs/x", partition_by=["__log_date"]))

    assert isinstance(seen.logging_config.destination, DeltaLoggingDestination)
    assert seen.logging_config.destination.partition_by == ("__log_date",)
    assert seen.logging_config.destination.to_data_source().path == "logs/x"
