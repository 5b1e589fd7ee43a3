"""Values of all types side by side, without any store."""

from datetime import UTC, datetime

import pytest

from larder.online.packed.packing import packed_records, typed_rows
from larder.online.packed.record import Layout
from larder.verify.causes import Circumstances, Stamps
from larder.verify.compare import Offline, compared_part, same
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
    (record,) = packed_records(Layout(two), typed_rows(two, rows))
    stamps = Stamps(*Layout(two).decode(record)[:2])
    at = Circumstances(stamps.event_timestamp, stamps.event_timestamp, False, True, 0)

    part = compared_part([record], Offline([(1.0, 4)], [stamps], [True]), two, at)

    (difference,) = part.differences
    assert (difference.place, difference.cause, difference.features) == (0, "bug", (1,))
