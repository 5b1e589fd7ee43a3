"""The Spark engine against plain loops and against the embedded engine, on many histories at once."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from feast import Field
from feast.types import Float32, Float64, Int32, PrimitiveFeastType, String

from larder.contracts.errors import InvalidDataError
from larder.offline.history import History
from larder.offline.join import embedded
from larder.offline.join import spark as on_spark
from larder.offline.retrieval.lookup import Lookup
from larder.offline.retrieval.reading import pinned
from tests.offline.oracle import value_as_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

START = datetime(2020, 1, 1, tzinfo=UTC)
INSTANT = pa.timestamp("us", tz="UTC")
KEYS = ("case", "left", "right")
SCHEMA = pa.schema(
    {"case": pa.int64(), "left": pa.string(), "right": pa.string(), "event_timestamp": INSTANT, "known_at": INSTANT}
    | {"price": pa.float64(), "label": pa.string()}
)
REQUEST = pa.schema({"case": pa.int64(), "left": pa.string(), "right": pa.string(), "asked_at": INSTANT})
CASES = 150
Histories: TypeAlias = tuple[pa.Table, pa.Table, str]
"""Requests, rows of history, and the Delta table that holds these."""
TTL = timedelta(hours=3)


def instant(draw: random.Random) -> datetime:
    special = [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), START + timedelta(microseconds=1)]
    return draw.choice([START + timedelta(hours=draw.randrange(8)), draw.choice(special)])


def key(draw: random.Random, case: int) -> dict[str, Any]:
    return {"case": case, "left": draw.choice(["1", "12", "é", None]), "right": draw.choice(["23", "3", None])}


def history_row(draw: random.Random, case: int) -> dict[str, Any]:
    return key(draw, case) | {
        "event_timestamp": instant(draw),
        "known_at": draw.choice([instant(draw), None]),
        "price": draw.choice([None, 1.0, 2.0, float("nan")]),
        "label": draw.choice([None, "", "x"]),
    }


@pytest.fixture(scope="module")
def session(spark: "SparkSession") -> "SparkSession":
    return spark


@pytest.fixture(scope="module", params=[3, 11])
def histories(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pa.Table, pa.Table, str]:
    """Requests, rows, and the table in which the rows lie in seven commits: late, tied, corrected, null, far off."""
    draw = random.Random(request.param)
    rows = [history_row(draw, case) for case in range(CASES) for _ in range(draw.randrange(25))]
    draw.shuffle(rows)
    asked = [key(draw, case) | {"asked_at": instant(draw)} for case in range(CASES) for _ in range(draw.randrange(8))]
    draw.shuffle(asked)
    place = str(tmp_path_factory.mktemp("spark join") / "sales")
    for commit in range(7):
        write_deltalake(place, pa.Table.from_pylist(rows[commit::7], SCHEMA), mode="append")
    return pa.Table.from_pylist(asked, REQUEST), pa.Table.from_pylist(rows, SCHEMA), place


def lookup(
    place: str, *, cutoff: bool, ttl: timedelta | None, features: tuple[str, ...] = ("price", "label")
) -> Lookup:
    history = pinned(History(place, KEYS, ("price", "label"), "event_timestamp", "known_at", cutoff=cutoff, ttl=ttl))
    fields = {"price": Field(name="price", dtype=Float64), "label": Field(name="label", dtype=String)}
    return Lookup("sales", history, KEYS, tuple(fields[name] for name in features))


@pytest.mark.parametrize("cutoff", [True, False])
@pytest.mark.parametrize("ttl", [None, TTL])
def test_spark_answers_as_plain_loops_and_as_the_embedded_engine(
    session: "SparkSession", histories: Histories, cutoff: bool, ttl: timedelta | None
):
    requests, rows, place = histories
    view = lookup(place, cutoff=cutoff, ttl=ttl)

    found = on_spark.features_as_of(requests, [view], at="asked_at", session=lambda: session)

    by_case: dict[int, list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        by_case.setdefault(row["case"], []).append(row)
    expected = [
        value_as_of(
            by_case.get(asked["case"], []),
            {name: asked[name] for name in KEYS},
            asked["asked_at"],
            cutoff=cutoff,
            ttl=ttl,
            features=("price", "label"),
        )
        or {"price": None, "label": None}
        for asked in requests.to_pylist()
    ]
    assert repr(found["sales:price"].to_pylist()) == repr([row["price"] for row in expected])
    assert found["sales:label"].to_pylist() == [row["label"] for row in expected]
    same = embedded.features_as_of(requests, [view], at="asked_at")
    assert {name: (values.type, repr(values.to_pylist())) for name, values in same.items()} == {
        name: (values.type, repr(values.to_pylist())) for name, values in found.items()
    }


def test_which_of_two_tied_rows_answers_does_not_depend_on_the_features_asked_for(
    session: "SparkSession", histories: Histories
):
    requests, _, place = histories
    both, one = (lookup(place, cutoff=True, ttl=None, features=names) for names in (("price", "label"), ("label",)))

    found = [
        on_spark.features_as_of(requests, [view], at="asked_at", session=lambda: session)["sales:label"]
        for view in (both, one)
    ]

    assert found[0] == found[1] == embedded.features_as_of(requests, [one], at="asked_at")["sales:label"]


def test_the_time_zone_of_the_session_changes_nothing(session: "SparkSession", histories: Histories):
    requests, _, place = histories
    view = lookup(place, cutoff=True, ttl=TTL)
    utc = on_spark.features_as_of(requests, [view], at="asked_at", session=lambda: session)
    session.conf.set("spark.sql.session.timeZone", "America/New_York")
    try:
        abroad = on_spark.features_as_of(requests, [view], at="asked_at", session=lambda: session)
    finally:
        session.conf.set("spark.sql.session.timeZone", "UTC")

    assert {name: repr(values.to_pylist()) for name, values in abroad.items()} == {
        name: repr(values.to_pylist()) for name, values in utc.items()
    }


def test_a_table_with_deletion_vectors_is_read_by_spark_itself(session: "SparkSession", tmp_path: Path):
    place = str(tmp_path / "sales")
    rows = [
        {"case": 1, "left": "a", "right": "b", "event_timestamp": START + timedelta(hours=hour), "known_at": START}
        | {"price": float(hour), "label": None}
        for hour in range(4)
    ]
    (
        session.createDataFrame(pa.Table.from_pylist(rows, SCHEMA))
        .coalesce(1)
        .write.format("delta")
        .option("delta.enableDeletionVectors", "true")
        .save(place)
    )
    session.sql(f"DELETE FROM delta.`{place}` WHERE price = 2.0")
    asked = pa.Table.from_pylist(
        [{"case": 1, "left": "a", "right": "b", "asked_at": START + timedelta(hours=hour)} for hour in (2, 3, 9)],
        REQUEST,
    )
    view = lookup(place, cutoff=False, ttl=None)

    found = on_spark.features_as_of(asked, [view], at="asked_at", session=lambda: session)

    assert found["sales:price"].to_pylist() == [1.0, 3.0, 3.0]
    assert embedded.features_as_of(asked, [view], at="asked_at")["sales:price"].to_pylist() == [1.0, 3.0, 3.0]


def test_nothing_asked_and_nothing_stored_give_no_answer(session: "SparkSession", histories: Histories, tmp_path: Path):
    requests, _, place = histories
    empty = str(tmp_path / "empty")
    write_deltalake(empty, SCHEMA.empty_table())

    unasked = on_spark.features_as_of(
        requests.slice(0, 0), [lookup(place, cutoff=True, ttl=None)], at="asked_at", session=lambda: session
    )
    unstored = on_spark.features_as_of(
        requests, [lookup(empty, cutoff=True, ttl=None)], at="asked_at", session=lambda: session
    )

    assert len(unasked["sales:price"]) == 0
    assert unstored["sales:price"].null_count == requests.num_rows


def test_what_a_task_refuses_comes_out_as_one_sentence(session: "SparkSession", tmp_path: Path):
    place = str(tmp_path / "sales")
    of = {"case": 1, "left": "a", "right": "b"}
    row = of | {"event_timestamp": START, "known_at": START, "price": 1.0, "label": "x" * 1_000}
    write_deltalake(place, pa.Table.from_pylist([row], SCHEMA))
    view = lookup(place, cutoff=False, ttl=None)
    (file,) = Path(place).glob("*.parquet")
    damaged = bytearray(file.read_bytes())
    damaged[4:200] = bytes(196)
    file.write_bytes(damaged)
    asked = pa.Table.from_pylist([of | {"asked_at": START}], REQUEST)

    with pytest.raises(InvalidDataError, match=r"Version 0 of .*sales cannot be read"):
        on_spark.features_as_of(asked, [view], at="asked_at", session=lambda: session)


@pytest.mark.parametrize(("price", "dtype"), [(pa.scalar(1e300), Float32), (pa.scalar(2**40), Int32)])
def test_a_value_that_does_not_fit_is_refused_by_both_engines_alike(
    session: "SparkSession", tmp_path: Path, price: pa.Scalar, dtype: PrimitiveFeastType
):
    place = str(tmp_path / "sales")
    of = {"case": 1, "left": "a", "right": "b"}
    rows = pa.Table.from_pylist([of | {"event_timestamp": START, "known_at": START}], SCHEMA).drop_columns(["price"])
    write_deltalake(place, rows.append_column("price", pa.array([price.as_py()], price.type)))
    view = replace(lookup(place, cutoff=False, ttl=None), fields=(Field(name="price", dtype=dtype),))
    asked = pa.Table.from_pylist([of | {"asked_at": START}], REQUEST)

    with pytest.raises(InvalidDataError, match="Feature 'price' is declared") as here:
        embedded.features_as_of(asked, [view], at="asked_at")
    with pytest.raises(InvalidDataError) as there:
        on_spark.features_as_of(asked, [view], at="asked_at", session=lambda: session)
    assert str(there.value) == str(here.value)
