"""Tables and requests that do not fit are refused with the table, the column and what to do about it."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from feast import Entity, FeatureStore, FeatureView, Field
from feast.types import Float64, String
from feast.value_type import ValueType

from larder.contracts.errors import (
    ConfigurationError,
    InvalidDataError,
    MissingColumnsError,
    MissingTableError,
    UnsupportedError,
)
from larder.offline import DeltaSource
from larder.offline.history import History
from larder.offline.retrieval.reading import read_history
from larder.offline.tables.columns import columns_by_name
from tests.offline.project import feature_store, write_table

INSTANT = pa.timestamp("us", tz="UTC")
NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
SALES = pa.table({"shop_id": ["a"], "sold_at": pa.array([NOON], INSTANT), "amount": [1.0]})


def view_of(table: str, **changes: Any) -> History:
    return replace(History(table, ("shop_id",), ("amount",), "sold_at"), **changes)


def store_of(folder: Path, **source: Any) -> FeatureStore:
    """A project whose view `sales` reads the table `sales`."""
    store = feature_store(folder)
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name="sales",
        entities=[shop],
        source=DeltaSource(path="sales", timestamp_field="sold_at", **source),
        schema=[Field(name="shop_id", dtype=String), Field(name="amount", dtype=Float64)],
    )
    store.apply([shop, view])
    return store


def asked(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"shop_id": ["a"], "event_timestamp": [NOON]} | columns)


def amounts(store: FeatureStore, request: Any) -> list[float | None]:
    found: list[float | None] = (
        store.get_historical_features(request, features=["sales:amount"]).to_arrow()["amount"].to_pylist()
    )
    return found


@pytest.mark.parametrize("missing", ["shop_id", "sold_at", "amount"])
def test_a_column_that_the_table_lacks_is_named_with_those_it_has(tmp_path: Path, missing: str):
    place = write_table(tmp_path, "sales", SALES.drop_columns([missing]))

    with pytest.raises(MissingColumnsError, match=rf"Version 0 of {place} lacks \['{missing}'\]; it has"):
        read_history(view_of(place))


def test_a_name_that_differs_in_case_only_is_pointed_out(tmp_path: Path):
    place = write_table(tmp_path, "sales", SALES.rename_columns(["shop_id", "sold_at", "Amount"]))

    with pytest.raises(MissingColumnsError, match="'amount' is 'Amount' there"):
        read_history(view_of(place))


def test_a_table_with_two_columns_that_differ_in_case_only_is_refused_with_the_column(tmp_path: Path):
    place = write_table(tmp_path, "sales", SALES.append_column("amounx", [[2.0]]))
    commit = Path(place) / "_delta_log" / f"{0:020}.json"
    commit.write_text(commit.read_text().replace("amounx", "Amount"))

    with pytest.raises(InvalidDataError, match=rf"{place}.*'Amount'"):
        read_history(view_of(place))


def test_a_column_dropped_since_the_pinned_version_is_found_there_and_missed_in_the_newest(tmp_path: Path):
    place = write_table(tmp_path, "sales", SALES)
    write_deltalake(place, SALES.drop_columns(["amount"]), mode="overwrite", schema_mode="overwrite")

    assert read_history(view_of(place, version=0))["amount"].to_pylist() == [1.0]
    with pytest.raises(MissingColumnsError, match=r"Version 1 of .*\['amount'\].*Version 0 still had \['amount'\]"):
        read_history(view_of(place))


def test_a_column_that_came_after_the_pinned_version_is_named_with_the_version_that_has_it(tmp_path: Path):
    place = write_table(tmp_path, "sales", SALES.drop_columns(["amount"]))
    write_deltalake(place, SALES, mode="append", schema_mode="merge")

    with pytest.raises(MissingColumnsError, match=r"Version 0 of .*newest version, 1, has \['amount'\].*pin"):
        read_history(view_of(place, version=0))


def test_a_renamed_column_is_missed_under_its_old_name(tmp_path: Path):
    place = write_table(tmp_path, "sales", SALES)
    renamed = SALES.rename_columns(["shop_id", "sold_at", "total"])
    write_deltalake(place, renamed, mode="overwrite", schema_mode="overwrite")

    with pytest.raises(MissingColumnsError, match=r"'amount'.*'total'.*field_mapping"):
        read_history(view_of(place))


def test_a_retyped_column_is_refused_with_both_types(tmp_path: Path):
    place = write_table(tmp_path, "sales", SALES)
    retyped = SALES.set_column(2, "amount", [["one"]])
    write_deltalake(place, retyped, mode="overwrite", schema_mode="overwrite")

    assert read_history(view_of(place, version=0))["amount"].to_pylist() == [1.0]
    with pytest.raises(InvalidDataError, match=rf"'amount' is declared Float64 but is .*string.* in {place}"):
        amounts(store_of(tmp_path), asked())


def test_an_instant_that_became_naive_is_refused_with_the_column(tmp_path: Path):
    place = write_table(tmp_path, "sales", SALES)
    naive = SALES.set_column(1, "sold_at", SALES["sold_at"].cast(pa.timestamp("us")))
    write_deltalake(place, naive, mode="overwrite", schema_mode="overwrite")

    with pytest.raises(InvalidDataError, match=rf"'sold_at' of {place} is timestamp\[us\].*time zone"):
        read_history(view_of(place))
    assert read_history(view_of(place, version=0)).num_rows == 1


def test_a_pinned_version_that_was_vacuumed_never_gives_a_shorter_training_set(tmp_path: Path):
    place = write_table(tmp_path, "sales", SALES)
    store = store_of(tmp_path, version=0)
    assert amounts(store, asked()) == [1.0]

    write_deltalake(place, SALES, mode="overwrite")
    DeltaTable(place).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)

    with pytest.raises(MissingTableError, match=rf"Version 0 of {place}.*VACUUM"):
        amounts(store, asked())


def test_an_empty_commit_file_never_gives_a_shorter_training_set(tmp_path: Path):
    place = write_table(tmp_path, "sales", SALES)
    write_deltalake(place, SALES, mode="append")
    store = store_of(tmp_path)
    (Path(place) / "_delta_log" / f"{1:020}.json").write_bytes(b"")

    with pytest.raises(InvalidDataError, match=rf"{place} is damaged.*0001\.json is empty"):
        amounts(store, asked())


@pytest.mark.parametrize("feature", ["typeWidening", "featureOfTomorrow"])
def test_a_table_with_a_feature_that_deltalake_does_not_read_is_refused_with_the_feature(tmp_path: Path, feature: str):
    write_deltalake(tmp_path, SALES)
    features = {"readerFeatures": [feature], "writerFeatures": [feature]}
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7} | features
    commit = [{"commitInfo": {"timestamp": 1, "operation": "UPGRADE PROTOCOL"}}, {"protocol": protocol}]
    (tmp_path / "_delta_log" / f"{1:020}.json").write_text("".join(json.dumps(action) + "\n" for action in commit))

    with pytest.raises(UnsupportedError, match=f"(?i)needs {feature} of Delta.*DROP FEATURE"):
        read_history(view_of(str(tmp_path)))


def test_two_columns_for_one_name_in_the_field_mapping_are_refused(tmp_path: Path):
    source = DeltaSource(path="sales", timestamp_field="sold_at", field_mapping={"a": "amount", "b": "amount"})

    with pytest.raises(ConfigurationError, match="'amount' to two columns, 'a' and 'b'"):
        columns_by_name(source)


def test_a_field_mapping_is_checked_at_apply(tmp_path: Path):
    write_table(tmp_path, "sales", SALES)
    source = DeltaSource(path="sales", timestamp_field="sold_at", field_mapping={"a": "amount", "b": "amount"})

    with pytest.raises(ConfigurationError, match="two columns"):
        source.validate(feature_store(tmp_path).config)


@pytest.mark.parametrize("kind", [pd.DataFrame, pa.Table])
def test_two_columns_of_one_name_in_a_request_are_refused(tmp_path: Path, kind: type):
    write_table(tmp_path, "sales", SALES)
    table = pa.table({"shop_id": ["a"], "event_timestamp": pa.array([NOON], INSTANT), "other": ["b"]})
    request = table.rename_columns(["shop_id", "event_timestamp", "shop_id"])
    if kind is pd.DataFrame:
        request = table.to_pandas().set_axis(request.column_names, axis="columns")

    with pytest.raises(InvalidDataError, match="'shop_id'") as problem:
        amounts(store_of(tmp_path), request)
    assert problem.value.field == "shop_id"


@pytest.mark.parametrize("instants", [[NOON, NOON.replace(tzinfo=None)], [NOON.replace(tzinfo=None), NOON]])
def test_one_naive_instant_among_others_is_refused(tmp_path: Path, instants: list[datetime]):
    write_table(tmp_path, "sales", SALES)
    request = pd.DataFrame({"shop_id": ["a", "a"], "event_timestamp": pd.Series(instants, dtype=object)})

    with pytest.raises(InvalidDataError, match=r"'event_timestamp'.*time zone"):
        amounts(store_of(tmp_path), request)


def test_instants_with_several_zones_are_the_instants_that_they_are(tmp_path: Path):
    write_table(tmp_path, "sales", SALES)
    instants = [NOON, pd.Timestamp("2020-01-01T13:30:00+02:00"), pd.Timestamp("2020-01-01T13:30:00+01:00")]
    request = pd.DataFrame({"shop_id": ["a"] * 3, "event_timestamp": pd.Series(instants, dtype=object)})

    assert amounts(store_of(tmp_path), request) == [1.0, None, 1.0]


@pytest.mark.parametrize("instant", ["2020-01-01T12:00:00Z", 1577880000, NOON.date()])
def test_instants_that_are_text_numbers_or_dates_are_refused(tmp_path: Path, instant: Any):
    write_table(tmp_path, "sales", SALES)

    with pytest.raises(InvalidDataError, match=r"'event_timestamp'.*time zone"):
        amounts(store_of(tmp_path), asked(event_timestamp=[instant]))
