from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larder.contracts.errors import OnlineStoreError, SchemaMismatchError
from larder.contracts.plan import ViewPlan
from larder.online.packed.arrow_types import arrow_type
from larder.online.packed.columns import decoded_columns
from larder.online.packed.packing import packed_records, typed_rows
from larder.online.packed.record import Layout
from larder.online.reading.compiled import CompiledPlan
from tests.online.packed.values import DTYPES, MAP_TYPES, column, values_of
from tests.online.rows import NOON, at, view
from tests.online.rows import plan as feature_plan


@st.composite
def stored_tables(draw: st.DrawFn, min_rows: int = 0) -> tuple[ViewPlan, pa.Table]:
    """A view of up to six features and up to five rows of it."""
    dtypes, size = draw(st.lists(DTYPES, max_size=6)), draw(st.integers(min_rows, 5))
    plan = view(features=" ".join(f"f{index}:{dtype}" for index, dtype in enumerate(dtypes)))
    columns = {
        f.name: column(draw(st.lists(st.none() | values_of(f.dtype), min_size=size, max_size=size)), f.dtype)
        for f in plan.features
    }
    stamps = {"event_timestamp": [at(i) for i in range(size)], "known_at": [at(2 * i) for i in range(size)]}
    instants = {name: column(values, "unix_timestamp") for name, values in stamps.items()}
    return plan, pa.table({"user": pa.array(["ann"] * size, pa.string())} | columns | instants)


def records(plan: ViewPlan, rows: pa.Table) -> list[bytes]:
    return packed_records(Layout(plan), typed_rows(plan, rows)).to_pylist()


@settings(deadline=None)
@given(stored_tables())
def test_columns_come_back_with_their_values_and_types(case: tuple[ViewPlan, pa.Table]) -> None:
    plan, rows = case

    found = decoded_columns(Layout(plan), records(plan, rows))

    assert list(found) == [*(feature.name for feature in plan.features), "event_timestamp", "known_at"]
    for name, values in found.items():
        assert repr(values.to_pylist()) == repr(rows[name].to_pylist())
    for feature in plan.features:
        if feature.dtype not in MAP_TYPES:
            assert found[feature.name].type == arrow_type(feature.dtype)


@settings(deadline=None, max_examples=50)
@given(stored_tables())
def test_both_bulk_decoders_say_what_decode_says(case: tuple[ViewPlan, pa.Table]) -> None:
    plan, rows = case
    stored = records(plan, rows)

    one_by_one = [Layout(plan).decode(record) for record in stored]

    assert repr(answered(plan, stored)) == repr([list(record.values) for record in one_by_one])
    events = decoded_columns(Layout(plan), stored)["event_timestamp"].cast(pa.int64()).to_pylist()
    assert events == [record.event_timestamp for record in one_by_one]


@settings(deadline=None, max_examples=50)
@given(stored_tables(), st.data())
def test_the_bulk_decoders_refuse_what_decode_refuses(case: tuple[ViewPlan, pa.Table], data: st.DataObject) -> None:
    plan, rows = case
    stored = records(plan, rows)
    if not stored:
        return
    place = data.draw(st.integers(0, len(stored) - 1))
    length = data.draw(st.integers(0, len(stored[place]) - 1))
    for damaged in (stored[place][:length], stored[place] + b"\0", b"X" + stored[place][1:]):
        spoilt = [*stored[:place], damaged, *stored[place + 1 :]]
        with pytest.raises(OnlineStoreError):
            answered(plan, spoilt)
        with pytest.raises(OnlineStoreError):
            decoded_columns(Layout(plan), spoilt)


@settings(deadline=None, max_examples=300)
@given(stored_tables(min_rows=1), st.data())
def test_no_record_with_a_flipped_bit_is_read(case: tuple[ViewPlan, pa.Table], data: st.DataObject) -> None:
    plan, rows = case
    stored = records(plan, rows)
    for place in data.draw(st.sets(st.integers(0, len(stored) - 1), min_size=1)):
        stored[place] = flipped(stored[place], data.draw(st.integers(0, len(stored[place]) * 8 - 1)))

    for decode in decoders(plan):
        with pytest.raises(OnlineStoreError):
            decode(stored)


@pytest.mark.parametrize("features", ["", "a:float64 b:bool", "a:string b:array<float32> c:map"])
def test_every_single_bit_of_a_record_counts(features: str) -> None:
    plan = view(features=features)
    values = {"a": ["x" if "string" in features else 1.5], "b": [[0.5] if "array" in features else True]}
    columns = {"user": ["a"], "c": [{"k": 1}], "event_timestamp": [NOON]}
    good, spoilt = records(plan, pa.table(values | columns))[0], 0

    for bit in range(len(good) * 8):
        for decode in decoders(plan):
            with pytest.raises(OnlineStoreError):
                decode([good, flipped(good, bit), good])
            spoilt += 1
    assert spoilt == len(good) * 8 * 3


def flipped(record: bytes, bit: int) -> bytes:
    return bytes(byte ^ ((1 << bit % 8) if at == bit // 8 else 0) for at, byte in enumerate(record))


def answered(stored_view: ViewPlan, stored: list[bytes]) -> list[list[object]]:
    """The values that a reader answers with when Redis holds these records of as many users."""
    compiled = CompiledPlan(feature_plan(stored_view))
    asked = compiled.asked([{"user": str(number)} for number in range(len(stored))])
    return compiled.answered(asked, stored, NOON).values


def decoders(plan: ViewPlan) -> list[Callable[[list[bytes]], object]]:
    """All ways to read records."""
    layout = Layout(plan)
    return [
        lambda stored: [layout.decode(record) for record in stored],
        lambda stored: answered(plan, stored),
        lambda stored: decoded_columns(layout, stored),
    ]


def test_missing_records_are_null_rows() -> None:
    plan = view(features="score:float64 tags:array<string>")
    rows = pa.table({"user": ["a"], "score": [1.5], "tags": [["x"]], "event_timestamp": [NOON]})

    found = decoded_columns(Layout(plan), [None, *records(plan, rows), None])

    assert pa.table(found).select(["score", "tags", "event_timestamp"]).to_pylist() == [
        {"score": None, "tags": None, "event_timestamp": None},
        {"score": 1.5, "tags": ["x"], "event_timestamp": NOON},
        {"score": None, "tags": None, "event_timestamp": None},
    ]
    assert decoded_columns(Layout(plan), [None])["score"].to_pylist() == [None]


def test_a_record_of_another_schema_is_named_among_thousands() -> None:
    plan, old = view(features="score:float64"), view(features="points:float64")
    good = records(plan, pa.table({"user": ["a"], "score": [1.0], "event_timestamp": [NOON]}))
    bad = records(old, pa.table({"user": ["a"], "points": [1.0], "event_timestamp": [NOON]}))

    for decode in (lambda stored: answered(plan, stored), lambda stored: decoded_columns(Layout(plan), stored)):
        with pytest.raises(SchemaMismatchError, match="'visits'"):
            decode(good * 2_000 + bad)


def test_a_null_here_and_there_does_not_stop_bulk_decoding() -> None:
    plan = view(features="a:float64 b:int64")
    rows = pa.table({"user": ["x"] * 3, "a": [1.0, None, 3.0], "b": [None, 2, 3], "event_timestamp": [NOON] * 3})

    assert answered(plan, records(plan, rows)) == [[1.0, None], [None, 2], [3.0, 3]]
    assert answered(plan, []) == []


def test_a_map_of_mixed_values_comes_back_as_messagepack() -> None:
    import msgspec

    plan = view(features="extra:map")
    cell = msgspec.msgpack.encode({"a": 1, "b": "x"})
    stored = records(plan, pa.table({"user": ["a"], "extra": [cell], "event_timestamp": [NOON]}))

    assert Layout(plan).decode(stored[0]).values == ({"a": 1, "b": "x"},)
    assert decoded_columns(Layout(plan), stored)["extra"].to_pylist() == [cell]


@pytest.mark.parametrize(
    ("at", "byte"),
    [
        pytest.param(28, 0b1000, id="a null that is no feature"),
        pytest.param(28, 0b0001, id="a null with a cell"),
        pytest.param(29, 3, id="a cell that ends behind the next one's end"),
        pytest.param(33, 9, id="a cell that ends behind the record"),
    ],
)
def test_what_no_writer_writes_is_refused(at: int, byte: int) -> None:
    plan = view(features="a:bytes b:bytes c:int32")
    rows = pa.table({"user": ["x"], "a": [b"1"], "b": [b"2"], "c": [3], "event_timestamp": [NOON]})
    record = bytearray(records(plan, rows)[0])
    record[at] = byte

    for decode in (lambda stored: answered(plan, stored), lambda stored: decoded_columns(Layout(plan), stored)):
        with pytest.raises(OnlineStoreError, match="damaged record of view 'visits'"):
            decode([bytes(record)])
