"""The kernel against plain loops, and against itself in another order or another division."""

import random
from typing import Any, TypeAlias

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from larder.compute.definition import FUNCTIONS, WindowDefinition, WindowFeature
from larder.compute.kernel.windows import window_features
from larder.contracts.errors import InvalidDataError
from larder.offline.tables.kinds import INSTANT
from tests.compute.oracle import MINUTE, Event, definition, events_table, expected_rows

Events: TypeAlias = SearchStrategy[list[Event]]
HOUR = 60 * MINUTE
VALUES = {"number": pa.float64(), "whole": pa.int64(), "flag": pa.bool_(), "word": pa.string(), "at": INSTANT}


def of(function: str, column: str, slides: int, dtype: pa.DataType | None = None) -> WindowFeature:
    default = pa.int64() if function.startswith("count") else pa.float64()
    return WindowFeature(f"{column}_{function}_{slides}", column, function, slides, dtype or default)


def rows_of(table: pa.Table, view: WindowDefinition) -> dict[tuple[Any, ...], list[Any]]:
    plain = table.set_column(len(view.keys), "event_timestamp", table["event_timestamp"].cast(pa.int64()))
    rows = [list(row.values()) for row in plain.to_pylist()]
    return {tuple(row[: len(view.keys) + 1]): row[len(view.keys) + 1 :] for row in rows}


def numbers(*delays: tuple[int, float | None], key: str | None = "a") -> list[Event]:
    return [{"k": key, "t": t, "number": value} for t, value in delays]


def answers(events: list[Event], *features: WindowFeature, until: int) -> dict[int, list[Any]]:
    view = definition(*features)
    table = window_features(events_table(events, view, {"number": pa.float64()}), view, until=until)
    return {instant: values for (_, instant), values in rows_of(table, view).items()}


def test_an_event_counts_from_the_next_grid_instant_and_until_its_window_has_passed() -> None:
    events = numbers((1 * MINUTE, 10.0))

    assert answers(events, of("count", "number", 12), of("mean", "number", 12), until=2 * HOUR) == {
        5 * MINUTE: [1, 10.0],
        65 * MINUTE: [0, None],
    }


def test_an_event_on_the_grid_counts_at_that_very_instant() -> None:
    assert list(answers(numbers((5 * MINUTE, 1.0)), of("count", "number", 1), until=HOUR)) == [5 * MINUTE, 10 * MINUTE]


def test_what_lies_in_the_future_is_not_answered_and_does_not_count() -> None:
    events = numbers((0, 1.0), (10 * MINUTE + 1, 2.0))

    assert answers(events, of("sum", "number", 12), until=12 * MINUTE) == {0: [1.0]}
    assert answers(events, of("sum", "number", 12), until=15 * MINUTE) == {0: [1.0], 15 * MINUTE: [3.0]}


def test_rows_without_key_or_time_do_not_count() -> None:
    events = [*numbers((0, 1.0)), *numbers((0, 5.0), key=None), {"k": "a", "t": None, "number": 7.0}]

    assert answers(events, of("sum", "number", 1), until=0) == {0: [1.0]}


def test_nulls_are_ignored_and_an_event_without_value_still_makes_a_row() -> None:
    assert answers(numbers((0, None)), of("count", "number", 1), of("last", "number", 1), until=0) == {0: [0, None]}


def test_nan_is_a_value_and_the_greatest_one() -> None:
    events = numbers((0, float("nan")), (0, 1.0), (0, float("nan")))
    features = [of(name, "number", 1) for name in ("count", "count_distinct", "min", "max", "last", "sum")]

    assert repr(answers(events, *features, until=0)) == "{0: [3, 2, 1.0, nan, nan, nan]}"


@pytest.mark.parametrize("function", ["sum", "mean", "min", "max", "last"])
def test_whole_numbers_beyond_float64_are_rounded_to_the_nearest(function: str) -> None:
    nanoseconds = 1_700_000_000_123_456_789
    view = definition(of(function, "whole", 12))
    events = events_table([{"k": "a", "t": 0, "whole": nanoseconds}], view, {"whole": pa.int64()})

    assert window_features(events, view, until=0)[f"whole_{function}_12"].to_pylist() == [float(nanoseconds)]


def test_a_whole_number_beyond_the_declared_type_is_refused_with_the_name_of_its_feature() -> None:
    view = definition(of("last", "whole", 1, pa.int32()))
    events = events_table([{"k": "a", "t": 0, "whole": 2**31}], view, {"whole": pa.int64()})

    with pytest.raises(InvalidDataError, match=r"last of 'whole', does not fit int32: .*2147483648"):
        window_features(events, view, until=0)


def test_stddev_is_that_of_a_sample_and_exactly_zero_for_equal_values() -> None:
    events = numbers((0, 0.1), (1, 0.1), (2, 0.1), (HOUR, 1.0), (HOUR, 3.0))

    assert answers(events, of("stddev", "number", 1), until=HOUR)[5 * MINUTE] == [0.0]
    assert answers(events, of("stddev", "number", 1), until=HOUR)[HOUR] == [pytest.approx(2**0.5)]


def test_last_is_the_latest_and_among_equals_the_greatest() -> None:
    events = numbers((1, 9.0), (2, 2.0), (2, 5.0), (2, 3.0))

    assert answers(events, of("last", "number", 1), until=5 * MINUTE) == {5 * MINUTE: [5.0]}


def test_a_window_drops_what_it_has_left_behind_without_a_trace() -> None:
    events = numbers((0, 1e17), (HOUR, 1.0), (HOUR + 5 * MINUTE, 1.0))

    assert answers(events, of("sum", "number", 12), until=2 * HOUR)[HOUR + 5 * MINUTE] == [2.0]


def test_further_instants_are_answered_too() -> None:
    view = definition(of("count", "number", 2))
    asked = pa.table({"k": ["a", "b"], "event_timestamp": pa.array([5 * MINUTE, 0]).cast(INSTANT)})

    table = window_features(
        events_table(numbers((0, 1.0)), view, {"number": pa.float64()}), view, until=HOUR, also_at=asked
    )

    assert rows_of(table, view) == {("a", 0): [1], ("a", 5 * MINUTE): [1], ("a", 10 * MINUTE): [0], ("b", 0): [0]}


def test_no_events_give_no_rows() -> None:
    assert answers([], *(of(function, "number", 3) for function in FUNCTIONS), until=HOUR) == {}


def events_of(keys: list[str | None], times: SearchStrategy[int | None], floats: SearchStrategy[float]) -> Events:
    columns = {
        "k": st.sampled_from(keys),
        "l": st.sampled_from(keys[:2]),
        "t": times,
        "number": st.one_of(st.none(), floats),
        "whole": st.one_of(st.none(), st.integers(-3, 3)),
        "flag": st.one_of(st.none(), st.booleans()),
        "word": st.one_of(st.none(), st.sampled_from(["", "x", "yy"])),
        "at": st.one_of(st.none(), st.integers(-5, 5)),
    }
    return st.lists(st.fixed_dictionaries(columns), max_size=40)


times = st.one_of(
    st.none(),
    st.integers(-3 * HOUR, 3 * HOUR),
    st.sampled_from([n * 5 * MINUTE for n in range(-30, 30)]),
    st.sampled_from([-62_000_000_000 * 1_000_000, 1_700_000_000 * 1_000_000]),
)
sparse = events_of(["a", None, "b", ""], times, st.floats(-1e6, 1e6))
# Many events in each window, and sums that depend on the order of the additions.
ticks = st.integers(0, 2) | st.integers(-8, 8)
crowded = events_of(["a", "b"], ticks.map(lambda n: n * 4 * MINUTE), st.sampled_from([0.1, 0.2, 0.7, 1e9]))
EVERYTHING = [
    *(of(function, "number", slides) for function in FUNCTIONS for slides in (1, 12)),
    *(of(function, "whole", 7) for function in FUNCTIONS),
    *(of(function, "flag", 4) for function in ("sum", "count_distinct")),
    *(of(function, "flag", 4, pa.bool_()) for function in ("min", "last")),
    *(of(function, "word", 5, pa.string()) for function in ("max", "last")),
    *(of(function, "at", 5, INSTANT) for function in ("min", "last")),
    of("count_distinct", "word", 6),
]


@given(sparse | crowded, st.sampled_from([0, 2 * HOUR + 1, 2_000_000_000 * 1_000_000]))
@settings(max_examples=100, deadline=None)
def test_the_kernel_equals_plain_loops(events: list[Event], until: int) -> None:
    view = definition(*EVERYTHING, keys=("k", "l"))

    found = rows_of(window_features(events_table(events, view, VALUES), view, until=until), view)

    expected = expected_rows(events, view, until)
    assert found.keys() == expected.keys()
    for place, values in expected.items():
        for feature, value, answer in zip(view.features, values, found[place], strict=True):
            where = f"{feature.name} at {place}"
            if isinstance(value, float):
                assert answer == pytest.approx(value, rel=1e-12, abs=1e-6), where
            elif feature.dtype == INSTANT and value is not None:
                assert round(answer.timestamp() * 1e6) == value, where
            else:
                assert answer == value, where


@given(sparse | crowded, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_order_and_division_of_the_events_change_no_byte(events: list[Event], chance: random.Random) -> None:
    view = definition(*EVERYTHING, keys=("k", "l"))
    whole = window_features(events_table(events, view, VALUES), view, until=3 * HOUR)

    shuffled = chance.sample(events, len(events))
    by_key = [[one for one in shuffled if one["k"] in keys] for keys in (("a",), ("b", "", None))]
    parts = [window_features(in_batches(events_table(part, view, VALUES)), view, until=3 * HOUR) for part in by_key]

    together = pa.concat_tables(parts).sort_by(
        [("k", "ascending"), ("l", "ascending"), ("event_timestamp", "ascending")]
    )
    assert as_bytes(together) == as_bytes(whole)


@given(sparse | crowded, st.integers(-2 * HOUR, 2 * HOUR))
@settings(max_examples=30, deadline=None)
def test_later_events_change_no_byte_of_earlier_rows(events: list[Event], until: int) -> None:
    view = definition(*EVERYTHING, keys=("k", "l"))
    early = window_features(events_table(events, view, VALUES), view, until=until)

    late = window_features(events_table(events, view, VALUES), view, until=3 * HOUR)

    assert as_bytes(late.filter(late["event_timestamp"].cast(pa.int64()).to_numpy() <= until)) == as_bytes(early)


def in_batches(table: pa.Table) -> pa.Table:
    """The same rows in pieces of three, as a task receives them."""
    return pa.Table.from_batches(table.to_batches(max_chunksize=3), table.schema)


def as_bytes(table: pa.Table) -> list[Any]:
    """Rows whose floats are spelled exactly."""
    return [[item.hex() if isinstance(item, float) else item for item in row.values()] for row in table.to_pylist()]
