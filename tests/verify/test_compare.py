"""Values of all types side by side, without any store."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larder.contracts.plan import Feature
from larder.online.packed.packing import packed_records, typed_rows
from larder.online.packed.record import Layout
from larder.verify.causes import Circumstances, Stamps
from larder.verify.compare import Offline, compared_part, same
from larder.verify.history_side import HistorySide
from tests.online.packed.values import DTYPES, column, values_of
from tests.online.rows import view, visits

NAN, NOON = float("nan"), datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.5,
        NAN,
        True,
        "",
        "zoë",
        b"\\xff",
        NOON,
        [],
        [1.0, NAN, None],
        [[1], None, []],
        {"a": NAN, "b": None},
        {"nested": [{"a": NAN}]},
    ],
)
def test_a_value_equals_itself_nan_and_null_included_and_nothing_else(value: object):
    copy = eval(repr(value), {"nan": float("nan"), "datetime": __import__("datetime")})

    assert same(value, copy)
    assert not same(value, "other")
    assert value is None or not same(value, None)
    assert not same([value], [value, value])
    assert not same({"a": value}, {"a": "other"}) and not same({"a": value}, {"b": value})


def test_a_map_equals_the_list_of_pairs_that_arrow_makes_of_it():
    assert same({"a": 1.0, "b": NAN}, [("a", 1.0), ("b", NAN)])
    assert not same({"a": 1.0}, [("a", 2.0)])


def test_zero_and_minus_zero_are_equal_but_null_and_nan_are_not():
    assert same(0.0, -0.0)
    assert not same(None, NAN) and not same(NAN, None) and not same(0.0, None)


def test_only_the_feature_that_differs_is_counted():
    two = view(features="score:float64 clicks:int64")
    rows = visits(("a", 0, 0, 1.0)).append_column("clicks", [[3]])
    (record,) = packed_records(Layout(two), typed_rows(two, rows)).to_pylist()
    stamps = Stamps(*Layout(two).decode(record)[:2])
    at = Circumstances(stamps.event_timestamp, stamps.event_timestamp, False, True, 0)

    part = compared_part([record], Offline([(1.0, 4)], [stamps], [True]), two, at)

    (difference,) = part.differences
    assert (difference.place, difference.cause, difference.features) == (0, "bug", (1,))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_record_of_any_type_equals_the_row_that_it_was_made_of_and_no_other(data: st.DataObject):
    dtype = data.draw(DTYPES)
    values = data.draw(st.lists(st.none() | values_of(dtype), min_size=2, max_size=4))
    plan = msgspec.structs.replace(view(), features=(Feature("value", dtype),))
    number = len(values)
    rows = visits(*((str(place), 0, 0, 1.0) for place in range(number)))
    rows = rows.append_column("value", column(values, dtype))
    records = packed_records(Layout(plan), typed_rows(plan, rows)).to_pylist()
    stamps = Stamps(*Layout(plan).decode(records[0])[:2])
    side = HistorySide(rows, [stamps[0]] * number, [stamps[1]] * number, [True] * number, [True] * number)
    offline, at = side.part(plan, slice(0, number)), Circumstances(stamps[0], stamps[0], False, True, 0)

    assert compared_part(records, offline, plan, at).differences == ()
    assert side.records(plan, 0, range(number)) == records
    others = compared_part(records[1:] + records[:1], offline, plan, at).differences
    moved = zip(values, values[1:] + values[:1], strict=True)
    assert [found.place for found in others] == [place for place, pair in enumerate(moved) if not same(*pair)]
