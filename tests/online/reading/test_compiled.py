from datetime import timedelta
from zlib import crc32

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larder.contracts.errors import OnlineStoreError, SchemaMismatchError
from larder.contracts.plan import Feature, FeaturePlan, ViewPlan
from larder.online.packed.keys import whole_keys
from larder.online.packed.packing import packed_records, typed_rows
from larder.online.packed.record import Layout
from larder.online.reading.compiled import CompiledPlan
from tests.online.packed.values import DTYPES, column, values_of
from tests.online.rows import NOON, at, plan, view

NUMBERS = st.sampled_from(["float64", "float32", "int64", "int32", "bool"])

Records = list[bytes | None]


@st.composite
def found_rows(draw: st.DrawFn) -> tuple[FeaturePlan, Records, int]:
    """Up to four views, most of them of numbers, and what up to four users have in each: nothing, too old, nulls."""
    size, views, found = draw(st.integers(0, 4)), [], []
    for number in range(draw(st.integers(0, 4))):
        dtypes = draw(st.lists(draw(st.sampled_from([NUMBERS, NUMBERS, DTYPES])), max_size=9))
        features = " ".join(f"f{number}_{index}:{dtype}" for index, dtype in enumerate(dtypes))
        views.append(view(f"view_{number}", features=features, ttl_seconds=draw(st.sampled_from([None, 600.0]))))
        found += [draw(st.none() | records_of(views[-1])) for _ in range(size)]
    return plan(*views, request_fields=(Feature("basket", "float64"),)), found, size


@st.composite
def records_of(draw: st.DrawFn, stored: ViewPlan) -> bytes:
    values = {
        f.name: column([draw(st.one_of(values_of(f.dtype), values_of(f.dtype), st.none()))], f.dtype)
        for f in stored.features
    }
    minutes = draw(st.sampled_from([0, -10, -11]))
    rows = pa.table({"user": ["ann"], "event_timestamp": [at(minutes)]} | values)
    return packed_records(Layout(stored), typed_rows(stored, rows))[0].as_py()


@settings(deadline=None, max_examples=300)
@given(found_rows())
def test_rows_decoded_together_are_those_decoded_record_by_record(case: tuple[FeaturePlan, Records, int]) -> None:
    feature_plan, found, size = case
    compiled = CompiledPlan(feature_plan)
    asked = compiled.asked([{"user": str(number), "basket": number} for number in range(size)])

    together = compiled.answered(asked, found, NOON)
    in_halves = compiled.answered(asked._replace(first=1), iter(found), NOON)

    one_by_one = compiled.rows(asked, compiled.cells(asked, found, NOON))
    assert (
        repr(together) == repr(one_by_one) == repr(in_halves)
    )  # tells -0.0 from 0.0, 1 from True, and finds NaN equal to NaN


def test_records_of_two_schemas_whose_lengths_add_up_are_refused() -> None:
    stored = [view("a", features="x:float64 y:float64"), view("b", features="x:float64")]
    swapped = [view("a", features="x:float64"), view("b", features="x:float64 y:float64")]
    found = [record(old) for old in swapped]
    compiled = CompiledPlan(plan(*stored))
    asked = compiled.asked([{"user": "ann"}])

    assert len(b"".join(found)) == len(b"".join(map(record, stored)))
    with pytest.raises(SchemaMismatchError, match="'a'"):
        compiled.answered(asked, found, NOON)


def test_a_record_in_the_place_of_another_views_is_refused() -> None:
    compiled = CompiledPlan(plan(view("a"), view("b")))
    asked = compiled.asked([{"user": "ann"}, {"user": "bob"}])

    with pytest.raises(SchemaMismatchError, match="'b'"):
        compiled.answered(asked, [record(view("a"))] * 4, NOON)


def test_zeros_with_a_checksum_are_no_absent_record() -> None:
    """They stand for one while rows are decoded, but Redis must not hold them."""
    compiled = CompiledPlan(plan(view()))
    zeros = bytes(len(record(view())) - 4)

    with pytest.raises(OnlineStoreError, match="no record of format 2"):
        compiled.answered(compiled.asked([{"user": "ann"}]), [zeros + crc32(zeros).to_bytes(4, "little")], NOON)


def test_one_users_record_serves_all_rows_that_name_the_user() -> None:
    compiled = CompiledPlan(plan(view(ttl_seconds=60.0)))
    asked = compiled.asked([{"user": name} for name in ("ann", "bob", "ann")])

    assert len(whole_keys(asked.keys)) == 2
    assert compiled.answered(asked, [record(view(ttl_seconds=60.0)), None], NOON).values == [[1.5], [None], [1.5]]
    late = NOON + timedelta(seconds=61)
    assert compiled.answered(asked, [record(view(ttl_seconds=60.0)), None], late).values == [[None]] * 3


def record(stored: ViewPlan) -> bytes:
    """1.5 in all features, at noon."""
    rows = pa.table({"user": ["ann"], "event_timestamp": [NOON]} | {f.name: [1.5] for f in stored.features})
    return packed_records(Layout(stored), typed_rows(stored, rows))[0].as_py()
