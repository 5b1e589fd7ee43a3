"""A shop's features three ways, through a real Feast registry and real Delta tables; gold as a backfill leaves it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import CommitProperties, DeltaTable
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, PushSource, RequestSource, StreamFeatureView
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, String
from feast.value_type import ValueType

from larder.compute import Statistic, windowed
from larder.compute.declaration import window_definition
from larder.compute.kernel.windows import window_features
from larder.contracts.errors import ConfigurationError, MissingTableError
from larder.contracts.tables import KNOWN_AT
from larder.leakage.service import ServiceColumns, gold_until, service_columns
from larder.offline import DeltaSource
from larder.offline.tables.gold import GoldPosition, encoded
from larder.online.planning import feature_plan
from tests.offline.project import feature_store, write_table

INSTANT = pa.timestamp("us", "UTC")
UNTIL = datetime(2024, 1, 2, tzinfo=UTC)
WINDOWS = windowed(
    [Statistic("days", "count", "repair_count", "Repairs"), Statistic("days", "sum", "repair_days", "Days in repair")],
    {"6h": timedelta(hours=6)},
    every=timedelta(hours=1),
    keys=[pan := Entity(name="pan", join_keys=["pan"], value_type=ValueType.STRING)],
)


def at(hour: int, day: int = 1) -> datetime:
    return datetime(2024, 1, day, hour, tzinfo=UTC)


def instants(*hours: int | None) -> pa.Array:
    return pa.array([None if hour is None else at(hour) for hour in hours], INSTANT)


def repairs_view(timestamp_field: str, **source: Any) -> StreamFeatureView:
    batch = DeltaSource(name="repairs", path="silver/repairs", timestamp_field=timestamp_field, **source)
    return StreamFeatureView(
        name="pan_repairs",
        entities=[pan],
        ttl=timedelta(hours=12),
        timestamp_field=timestamp_field,
        source=PushSource(name="repairs_push", batch_source=batch),
        **WINDOWS,
    )


def weights_view(**source: Any) -> FeatureView:
    return FeatureView(
        name="weights",
        entities=[pan],
        ttl=timedelta(0),
        source=DeltaSource(name="weights_source", path="silver/weights", timestamp_field="weighed_at", **source),
        schema=[Field(name="pan", dtype=String), Field(name="weight_kg", dtype=Float64)],
    )


def write_repairs(folder: Path) -> None:
    """Pan a is brought at 2 and 3; the first repair took until 8, the second until 4."""
    times = {"booked_at": instants(2, 3), "repaired_at": instants(8, 4), "told_at": instants(8, 4)}
    write_table(folder, "silver/repairs", pa.table({"pan": ["a", "a"], "days": [5.0, 1.0]} | times))


def write_weights(folder: Path, written: pa.Array) -> None:
    rows = {"pan": ["a", "a"], "weighed_at": instants(1, 5), "written_at": written, "weight_kg": [1.0, 2.0]}
    write_table(folder, "silver/weights", pa.table(rows))


def write_gold(folder: Path, store: FeatureStore, *, minutes_late: int = 0) -> None:
    """Gold with every repair from its event timestamp on; `minutes_late` as live runs leave it, 0 as a backfill."""
    definition = window_definition(store.get_stream_feature_view("pan_repairs"))
    source = store.get_stream_feature_view("pan_repairs").batch_source.table(store.config)
    events = pa.table(DeltaTable(source).scan())
    rows = window_features(events, definition, until=int(UNTIL.timestamp() * 1_000_000))
    late = pa.scalar(timedelta(minutes=minutes_late), pa.duration("us"))
    rows = rows.append_column(KNOWN_AT, pc.add(rows["event_timestamp"], late))
    position = encoded(GoldPosition(source, 0, UNTIL, definition.fingerprint, 1))
    properties = CommitProperties(custom_metadata={"userMetadata": position})
    write_table(folder, "gold/pan_repairs", rows, commit_properties=properties)


def columns(store: FeatureStore, hours: Sequence[int], **known: str) -> ServiceColumns:
    asked = pa.table({"pan": ["a"] * len(hours), "event_timestamp": instants(*hours)})
    return service_columns(store, feature_plan(store, "repairs"), asked, at="event_timestamp", known=known)


def three(found: ServiceColumns, name: str) -> tuple[list[Any], ...]:
    return tuple(table[name].to_pylist() for table in (found.event_time, found.training, found.known_time))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "my pans"


def applied(folder: Path, *views: Any) -> FeatureStore:
    store = feature_store(folder)
    store.apply([pan, *views, FeatureService(name="repairs", features=[*views])])
    return store


def test_windows_keyed_on_the_booking_see_what_was_not_known(folder: Path):
    write_repairs(folder)
    store = applied(folder, repairs_view("booked_at", created_timestamp_column="repaired_at"))
    write_gold(folder, store)

    found = columns(store, [3, 4, 7, 8])

    # At 8 the repair booked at 2 has left the window, just as it became known.
    assert three(found, "repair_days_6h") == ([6.0, 6.0, 6.0, 1.0], [6.0, 6.0, 6.0, 1.0], [None, 1.0, 1.0, 1.0])
    assert three(found, "repair_count_6h")[2] == [None, 1, 1, 1]
    assert found.unknown == {}


def test_windows_keyed_on_the_repair_see_what_was_known(folder: Path):
    write_repairs(folder)
    store = applied(folder, repairs_view("repaired_at", created_timestamp_column="told_at"))
    write_gold(folder, store)

    event_time, training, known_time = three(columns(store, [3, 4, 8, 10]), "repair_days_6h")

    assert event_time == training == known_time == [None, 1.0, 6.0, 5.0]


def test_the_caller_can_say_which_column_tells(folder: Path):
    write_repairs(folder)
    store = applied(folder, repairs_view("booked_at"))
    write_gold(folder, store)

    found = columns(store, [7], repairs="repaired_at")

    assert three(found, "repair_days_6h") == ([6.0], [6.0], [1.0])
    assert found.unknown == {}


def test_without_a_known_time_nothing_is_judged_and_a_likely_column_is_named(folder: Path):
    write_repairs(folder)
    store = applied(folder, repairs_view("booked_at"))
    write_gold(folder, store)

    found = columns(store, [7])

    assert three(found, "repair_days_6h") == ([6.0], [6.0], [6.0])
    assert set(found.unknown) == {"repair_count_6h", "repair_days_6h"}
    assert "'repairs' names no created_timestamp_column" in found.unknown["repair_days_6h"]
    assert (
        "later than booked_at lies repaired_at (in 100% of the rows), told_at (in 100% of the rows)"
        in found.unknown["repair_days_6h"]
    )


def test_gold_that_was_written_live_tells_itself(folder: Path):
    write_repairs(folder)
    store = applied(folder, repairs_view("booked_at"))
    write_gold(folder, store, minutes_late=1)

    found = columns(store, [3, 7])

    # At 3 the row of 3 is not written yet.
    assert found.unknown == {}
    assert three(found, "repair_days_6h") == ([6.0, 6.0], [5.0, 6.0], [5.0, 6.0])


def test_a_table_with_a_created_column_but_no_cutoff_shows_training_what_came_later(folder: Path):
    write_weights(folder, instants(1, 9))
    store = applied(folder, weights_view(created_timestamp_column="written_at"))

    found = columns(store, [6, 9])

    assert three(found, "weight_kg") == ([2.0, 2.0], [2.0, 2.0], [1.0, 2.0])


def test_with_the_cutoff_training_sees_what_was_known(folder: Path):
    write_weights(folder, instants(1, 9))
    store = applied(folder, weights_view(created_timestamp_column="written_at", known_time_cutoff=True))

    assert three(columns(store, [6, 9]), "weight_kg") == ([2.0, 2.0], [1.0, 2.0], [1.0, 2.0])


def test_a_created_column_that_tells_when_the_table_was_filled_judges_nothing(folder: Path):
    write_weights(folder, pa.array([at(0, day=30)] * 2, INSTANT))
    store = applied(folder, weights_view(created_timestamp_column="written_at"))

    found = columns(store, [6, 9])

    assert "it says when the table was filled" in found.unknown["weight_kg"]


def test_the_same_column_for_both_times_is_known_from_the_event_on(folder: Path):
    write_weights(folder, instants(1, 9))
    store = applied(folder, weights_view())

    found = columns(store, [6], weights_source="weighed_at")

    assert found.unknown == {}
    assert three(found, "weight_kg") == ([2.0], [2.0], [2.0])


def test_a_name_that_two_columns_of_the_source_have_is_refused(folder: Path):
    write_repairs(folder)
    twice = {"repaired_at": "done_at", "told_at": "done_at"}
    store = applied(folder, repairs_view("booked_at", created_timestamp_column="repaired_at", field_mapping=twice))
    write_gold(folder, store)

    with pytest.raises(ConfigurationError, match="'done_at' to two columns"):
        columns(store, [7])


def test_a_file_that_is_missing_where_a_known_time_is_looked_for_is_named(folder: Path):
    write_repairs(folder)
    store = applied(folder, repairs_view("booked_at"))
    write_gold(folder, store)
    [file] = (folder / "lake" / "silver" / "repairs").glob("*.parquet")
    file.unlink()

    with pytest.raises(MissingTableError, match=file.name):
        columns(store, [7])


def test_request_time_features_are_computed_from_each_of_the_joins(folder: Path):
    write_weights(folder, instants(1, 9))
    order = RequestSource(name="order", schema=[Field(name="paid", dtype=Float64)])
    weights = weights_view(created_timestamp_column="written_at")

    @on_demand_feature_view(sources=[order, weights], mode="python", schema=[Field(name="paid_per_kg", dtype=Float64)])
    def prices(inputs: dict[str, Any]) -> dict[str, Any]:
        pairs = zip(inputs["paid"], inputs["weight_kg"], strict=True)
        return {"paid_per_kg": [None if weight is None else paid / weight for paid, weight in pairs]}

    store = feature_store(folder)
    store.apply([pan, weights, prices, FeatureService(name="repairs", features=[prices])])
    asked = pa.table({"pan": ["a"], "event_timestamp": instants(6), "paid": [8.0]})

    found = service_columns(store, feature_plan(store, "repairs"), asked, at="event_timestamp", known={})

    assert three(found, "paid_per_kg") == ([4.0], [4.0], [8.0])


def test_request_time_features_of_what_cannot_be_judged_cannot_be_judged(folder: Path):
    write_weights(folder, instants(1, 9))
    weights = weights_view()

    @on_demand_feature_view(sources=[weights], mode="python", schema=[Field(name="grams", dtype=Float64)])
    def grams(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"grams": [None if weight is None else weight * 1000 for weight in inputs["weight_kg"]]}

    store = feature_store(folder)
    store.apply([pan, weights, grams, FeatureService(name="repairs", features=[grams])])

    assert "computed from weights: no known time recorded" in columns(store, [6]).unknown["grams"]


def test_a_source_that_the_service_does_not_read_is_named(folder: Path):
    write_weights(folder, instants(1, 9))
    store = applied(folder, weights_view())

    with pytest.raises(ConfigurationError, match=r"no source called \['weights'\]; it reads \['weights_source'\]"):
        columns(store, [6], weights="written_at")


def test_gold_says_until_when_it_answers(folder: Path):
    write_repairs(folder)
    write_weights(folder, instants(1, 9))
    store = applied(folder, repairs_view("booked_at"), weights_view())
    write_gold(folder, store)

    assert gold_until(store, feature_plan(store, "repairs")) == UNTIL
