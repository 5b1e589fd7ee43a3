"""DeltaSource as the registry keeps it and as Feast infers a schema from it."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from feast import BigQuerySource, FeatureStore
from feast.data_source import DataSource

from larder.contracts.errors import ConfigurationError, MissingColumnsError, MissingTableError
from larder.offline import DeltaSource
from tests.offline.project import feature_store

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def pans(**options) -> DeltaSource:
    return DeltaSource(path="silver/pans", timestamp_field="event_timestamp", **options)


def test_the_source_comes_back_from_the_registry_equal(store: FeatureStore):
    view = store.get_feature_view("sales")

    assert view.batch_source == store.get_data_source("sales_source")
    assert view.batch_source.path == "silver/sales"
    assert view.batch_source.tags == {"grain": "sale"}


def test_a_missing_table_is_named_with_the_remedy(tmp_path: Path):
    source = DeltaSource(path="silver/nothing", timestamp_field="at")
    config = feature_store(tmp_path).config

    source.validate(config)
    with pytest.raises(MissingTableError, match=r"silver/nothing.*larder ingest"):
        list(source.get_table_column_names_and_types(config))


def test_a_source_that_names_a_missing_column_is_refused_at_apply(folder: Path):
    source = DeltaSource(path="silver/sales", timestamp_field="sold")

    with pytest.raises(MissingColumnsError, match=r"'sold'.*sold_at"):
        source.validate(feature_store(folder).config)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timestamp": "sold_at", "timestamp_field": "sold_at"}, "timestamp='sold_at', which is no datetime"),
        ({}, "has no timestamp_field"),
    ],
)
def test_a_source_without_the_column_of_instants_is_refused(options: dict[str, Any], words: str):
    with pytest.raises(ConfigurationError, match=words):
        DeltaSource(path="silver/sales", **options)


@pytest.mark.parametrize("options", [{}, {"version": 0}, {"timestamp": NOON}])
def test_a_pin_comes_back_from_the_registry(options):
    declared = pans(**options)

    read = DataSource.from_proto(declared.to_proto())

    assert read == declared
    assert (read.version, read.timestamp) == (declared.version, declared.timestamp)


def test_an_instant_is_the_same_in_every_time_zone():
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-5)))

    assert pans(timestamp=elsewhere) == pans(timestamp=NOON)
    options = {pans(timestamp=at).to_proto().custom_options.configuration for at in (elsewhere, NOON)}
    assert len(options) == 1


def test_another_instant_is_another_source():
    assert pans() != pans(timestamp=NOON) != pans(timestamp=NOON + timedelta(microseconds=1))


def test_what_an_older_release_registered_still_reads_and_is_equal():
    proto = pans(version=3).to_proto()
    assert b"timestamp" not in proto.custom_options.configuration

    assert DataSource.from_proto(proto) == pans(version=3)


def test_a_naive_instant_is_refused():
    with pytest.raises(ConfigurationError, match="2024-01-01T12:00:00 without a time zone"):
        pans(timestamp=NOON.replace(tzinfo=None))


@pytest.mark.parametrize("version", ["0", -1, True, 1.0])
def test_a_version_that_is_no_whole_number_is_refused(version):
    with pytest.raises(ConfigurationError, match="whole number from 0 on"):
        pans(version=version)


def test_a_file_is_no_table_and_the_message_says_who_reads_it(tmp_path: Path):
    (tmp_path / "pans.parquet").touch()

    with pytest.raises(MissingTableError, match=r"no Delta table at .*pans\.parquet.*FileSource"):
        DeltaSource(path=str(tmp_path / "pans.parquet"), timestamp_field="at").get_table_column_names_and_types(
            feature_store(tmp_path).config
        )


def test_version_and_timestamp_together_are_refused():
    with pytest.raises(ConfigurationError, match=r"version=0 and timestamp=2024-01-01T12:00:00\+00:00"):
        pans(version=0, timestamp=NOON)


def test_a_source_that_the_store_does_not_read_is_refused_at_apply(tmp_path: Path):
    store = feature_store(tmp_path)
    elsewhere = BigQuerySource(name="sales", table="shop.sales", timestamp_field="at")

    with pytest.raises(ConfigurationError, match=r"Source 'sales' is a BigQuerySource; .* reads DeltaSource"):
        store._get_provider().validate_data_source(store.config, elsewhere)
