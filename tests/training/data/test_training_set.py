from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import write_deltalake

from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingColumnsError, MissingTableError
from larder.contracts.objective import Label
from larder.contracts.plan import Column, FeaturePlan
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT, Lake
from tests.training.shop import SPLIT, shop_objective, shop_rows, write_shop
from training.data.labels import label_selection, read_labels
from training.data.training_set import model_columns, request_columns, training_set
from training.models.model import Columns

UTC_MICROSECONDS = pa.timestamp("us", "UTC")


def labels(*rows: tuple[str, str, str | None, bool | None]) -> pa.Table:
    """(pan, predicted on 2024-.., known on 2024-.., label)."""

    def instants(texts: list[str | None]) -> pa.Array:
        return pa.array([text and datetime.fromisoformat(f"2024-{text}T00:00:00Z") for text in texts], UTC_MICROSECONDS)

    pans, at, known, label = (list(column) for column in zip(*rows, strict=True))
    return pa.table(
        {
            "pan": pans,
            "shop": ["north"] * len(rows),
            EVENT_TIMESTAMP: instants(at),
            KNOWN_AT: instants(known),
            "came_back": pa.array(label, pa.bool_()),
            "age_years": pa.array([1.0] * len(rows)),
            "weight_kg": pa.array([2.0] * len(rows)),
            "metal": ["iron"] * len(rows),
        }
    )


def test_a_label_is_used_only_where_it_was_known_in_time(store, settings):
    write_shop(
        settings,
        labels(
            ("train", "01-10", "01-11", True),
            ("known after the split", "01-30", "02-02", True),
            ("known at the split", "01-31", "02-01", True),
            ("never known", "01-12", None, None),
            ("test", "02-10", "02-11", False),
            ("not known yet", "02-28", "03-02", True),
            ("after the window", "03-01", "03-01", True),
        ),
    )

    data = training_set(store, settings, shop_objective(), service="repairs")

    assert data.train["pan"].to_pylist() == ["train"]
    assert data.test["pan"].to_pylist() == ["test"]


def test_an_empty_text_that_partitions_the_labels_is_null_as_for_every_reader(settings):
    rows = labels(("train", "01-10", "01-11", True), ("test", "02-10", "02-11", False))
    parts = rows.append_column("region", pa.array(["", "eu"]))
    write_deltalake(Lake(settings.lake).labels("repairs"), parts, partition_by=["region"])

    read = read_labels(
        Lake(settings.lake).labels("repairs"), label_selection(shop_objective(), now=settings.clock()), ["region"]
    )

    assert (read.train["region"].to_pylist(), read.test["region"].to_pylist()) == ([None], ["eu"])


def test_an_outcome_that_was_known_before_its_time_is_neither_learned_from_nor_judged_on(store, settings):
    write_shop(
        settings,
        labels(
            ("mature at the split", "01-24", "01-31", False),
            ("early, the others of its days are not known", "01-26", "01-27", True),
            ("mature now", "02-20", "02-21", True),
            ("early again", "02-25", "02-26", True),
        ),
    )
    label = Label("repairs", "came_back", positive="the pan came back", matures_after=timedelta(days=7))

    data = training_set(store, settings, shop_objective(label=label), service="repairs")

    assert data.train["pan"].to_pylist() == ["mature at the split"]
    assert data.test["pan"].to_pylist() == ["mature now"]


def test_each_row_has_the_features_of_its_own_instant(store, settings):
    rows = shop_rows(40, SPLIT - timedelta(hours=3), seed=1)
    write_shop(settings, rows)
    earlier = rows[EVENT_TIMESTAMP].to_pylist()[0] - timedelta(days=30)
    before = rows.slice(0, 1).select(["pan"])
    too_late = {EVENT_TIMESTAMP: rows[EVENT_TIMESTAMP].to_pylist()[0], KNOWN_AT: SPLIT + timedelta(days=9)}
    for at in ({EVENT_TIMESTAMP: earlier, KNOWN_AT: earlier}, too_late):
        row = before.to_pylist()[0] | {"age_years": 99.0, "weight_kg": 9.0, "metal": "lead"} | at
        correction = pa.Table.from_pylist([row], schema=_pans(settings))
        write_deltalake(Lake(settings.lake).silver("pans"), correction, mode="append")

    data = training_set(store, settings, shop_objective(slices=(), gates=()), service="repairs")

    assert data.columns == Columns(("age_years", "weight_kg"), ("metal",))
    seen = pa.concat_tables([data.train, data.test])
    known = rows.take(pc.index_in(seen["pan"], value_set=rows["pan"].combine_chunks()))
    for name in data.columns.names:
        assert seen[name].to_pylist() == known[name].to_pylist()


def test_the_same_tables_give_the_same_hash_and_the_versions_read(store, settings):
    rows = shop_rows(40, SPLIT - timedelta(hours=3), seed=1)
    write_shop(settings, rows)

    first, second = (training_set(store, settings, shop_objective(), service="repairs") for _ in range(2))
    write_deltalake(
        Lake(settings.lake).labels("repairs"), _labels(labels(("new", "01-05", "01-06", True))), mode="append"
    )
    third = training_set(store, settings, shop_objective(), service="repairs")

    assert first.lineage == second.lineage
    assert first.lineage.tables == {"labels/repairs": 0, "silver/pans": 0}
    assert third.lineage.tables["labels/repairs"] == 1
    assert third.lineage.data_hash != first.lineage.data_hash
    assert third.lineage.registry_hash == first.lineage.registry_hash


def test_a_missing_labels_table_says_how_to_write_it(store, settings):
    with pytest.raises(MissingTableError, match="larder ingest"):
        training_set(store, settings, shop_objective(), service="repairs")


def test_an_unknown_feature_service_names_those_there_are(store, settings):
    with pytest.raises(ConfigurationError, match=r"no feature service 'repair'; registered are \['repairs'\]"):
        training_set(store, settings, shop_objective(), service="repair")


@pytest.mark.parametrize(
    ("split_at", "part"),
    [(datetime(2023, 1, 1, tzinfo=UTC), "training"), (datetime(2024, 2, 20, tzinfo=UTC), "test")],
)
def test_a_split_outside_the_data_is_named(store, settings, split_at, part):
    write_shop(settings, shop_rows(40, SPLIT - timedelta(hours=3), seed=1))

    with pytest.raises(InvalidDataError, match=f"no {part} label: .* from 2024-01-31T21:00.* to 2024-02-01T03:30"):
        training_set(store, settings, shop_objective(split_at=split_at), service="repairs")


def test_a_missing_label_column_is_named(store, settings):
    write_shop(settings, shop_rows(40, SPLIT - timedelta(hours=3), seed=1))
    objective = shop_objective()

    with pytest.raises(MissingColumnsError, match="broke"):
        training_set(
            store, settings, replace(objective, label=replace(objective.label, column="broke")), service="repairs"
        )


def test_naive_label_times_are_refused(store, settings):
    rows = _labels(labels(("a", "01-10", "01-11", True)))
    naive = rows.set_column(2, EVENT_TIMESTAMP, rows[EVENT_TIMESTAMP].cast(pa.timestamp("us")))
    write_deltalake(Lake(settings.lake).labels("repairs"), naive)

    with pytest.raises(InvalidDataError, match=r"event_timestamp .* needs a time zone"):
        training_set(store, settings, shop_objective(), service="repairs")


def test_a_service_that_nothing_has_to_be_named_for_is_refused():
    plan = FeaturePlan("repairs", "mood", (), (), (), (Column("mood", "all", "mood", "float64"),))

    with pytest.raises(ConfigurationError, match="'mood' needs neither a key nor request data"):
        request_columns(plan)


def test_an_instant_is_no_model_input():
    plan = FeaturePlan("shop", "repairs", (), (), (), (Column("bought_at", "pans", "bought_at", "unixtimestamp"),))

    with pytest.raises(ConfigurationError, match=r"bought_at.*an instant into an age"):
        model_columns(plan)


def _labels(rows: pa.Table) -> pa.Table:
    return rows.select(["pan", "shop", EVENT_TIMESTAMP, KNOWN_AT, "came_back"])


def _pans(settings) -> pa.Schema:
    return pa.schema(
        [
            ("pan", pa.string()),
            ("age_years", pa.float32()),
            ("weight_kg", pa.float32()),
            ("metal", pa.large_string()),
            (EVENT_TIMESTAMP, UTC_MICROSECONDS),
            (KNOWN_AT, UTC_MICROSECONDS),
        ]
    )
