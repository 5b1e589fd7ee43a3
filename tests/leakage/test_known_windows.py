"""Windows as they were known, against one batch run per request over what had arrived by then."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larder.compute.definition import FUNCTIONS, WindowDefinition, WindowFeature
from larder.compute.kernel.windows import window_features
from larder.contracts.tables import EVENT_TIMESTAMP
from larder.leakage import known_windows
from larder.leakage.known_windows import windows_known_at
from larder.offline.history import History
from larder.offline.join.as_of import as_of_join
from larder.offline.tables.kinds import INSTANT
from tests.compute.oracle import MINUTE, definition

HOUR = 60 * MINUTE
VIEW = definition(
    WindowFeature("count", "number", "count", 12, pa.int64()),
    WindowFeature("sum", "number", "sum", 12, pa.float64()),
    WindowFeature("last", "number", "last", 24, pa.float64()),
)
EVENTS = pa.schema([("k", pa.string()), ("t", INSTANT), ("number", pa.float64()), ("known", INSTANT)])
REQUESTS = pa.schema([("k", pa.string()), ("at", INSTANT)])


def events(*rows: tuple[str | None, int | None, float | None, int | None]) -> pa.Table:
    return pa.table([list(column) for column in zip(*rows, strict=True)] or [[]] * 4, schema=EVENTS)


def requests(*rows: tuple[str | None, int]) -> pa.Table:
    return pa.table([list(column) for column in zip(*rows, strict=True)] or [[]] * 2, schema=REQUESTS)


def known(asked: pa.Table, past: pa.Table, *, ttl: timedelta | None = None) -> list[tuple[Any, ...]]:
    rows = windows_known_at(asked, past, VIEW, at="at", known_at="known", ttl=ttl)
    return [tuple(row.values()) for row in rows.to_pylist()]


def test_an_event_counts_only_once_it_was_known():
    past = events(("a", 0, 7.0, 30 * MINUTE))

    assert known(requests(("a", 29 * MINUTE), ("a", 30 * MINUTE)), past) == [(None, None, None), (1, 7.0, 7.0)]


def test_an_event_known_after_its_window_has_passed_leaves_an_empty_window():
    past = events(("a", 0, 7.0, 90 * MINUTE))

    assert known(requests(("a", 100 * MINUTE)), past) == [(0, None, 7.0)]


def test_each_request_sees_its_own_past():
    past = events(("a", 0, 1.0, 0), ("a", 5 * MINUTE, 2.0, HOUR), ("b", 0, 4.0, 0))

    asked = requests(("b", 10 * MINUTE), ("a", 10 * MINUTE), ("a", HOUR), ("c", HOUR), (None, HOUR), ("a", 10 * MINUTE))

    assert [row[1] for row in known(asked, past)] == [4.0, 1.0, 2.0, None, None, 1.0]


def test_what_was_never_known_never_counts():
    assert known(requests(("a", HOUR)), events(("a", 0, 1.0, None))) == [(None, None, None)]


@pytest.mark.parametrize(
    ("at", "expected"), [(2 * HOUR + 20 * MINUTE, (0, None, None)), (3 * HOUR, (None, None, None))]
)
def test_a_value_is_withheld_when_its_last_change_is_older_than_the_ttl(at, expected):
    past = events(("a", 0, 1.0, 0))

    assert known(requests(("a", at)), past, ttl=timedelta(minutes=30)) == [expected]


def test_a_ttl_shorter_than_the_windows_counts_from_the_last_event_that_left_one():
    past = events(("a", 0, 1.0, 0))

    # The event leaves the window of an hour at 1:00, which is a change.
    asked = requests(("a", 20 * MINUTE), ("a", 40 * MINUTE), ("a", 70 * MINUTE))
    assert [row[2] for row in known(asked, past, ttl=timedelta(minutes=30))] == [1.0, None, 1.0]


def test_no_request_and_no_event_are_no_problem():
    assert known(requests(), events(("a", 0, 1.0, 0))) == []
    assert known(requests(("a", 0)), events()) == [(None, None, None)]


EVERY = definition(
    *(
        WindowFeature(f"{column}_{function}_{window}", column, function, window, dtype)
        for column in ("number", "whole")
        for window in (1, 12, 24)
        for function, dtype in [(name, pa.int64() if name.startswith("count") else pa.float64()) for name in FUNCTIONS]
    )
)
keys = st.sampled_from(["a", "b", None])
ticks = st.integers(0, 60).map(lambda tick: tick * 3 * MINUTE)
floats = st.sampled_from([1.0, 2.5, 0.0, -0.0, float("nan"), None])
wholes = st.sampled_from([3, 2**53 + 1, None])  # the second is no float64
pasts = st.lists(st.tuples(keys, ticks, floats, st.one_of(st.none(), ticks), wholes), min_size=1, max_size=12)
asked = st.lists(st.tuples(keys, ticks), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(pasts, asked, st.sampled_from([None, timedelta(minutes=30), timedelta(hours=5)]), st.sampled_from([1, 5, 1000]))
def test_the_answer_is_that_of_one_run_over_what_had_arrived(past, instants, ttl, pairs_per_run):
    wholes = pa.array([row[-1] for row in past], pa.int64())
    table, wanted = events(*(row[:-1] for row in past)).append_column("whole", wholes), requests(*instants)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known_windows, "PAIRS_PER_RUN", pairs_per_run)
        found = windows_known_at(wanted, table, EVERY, at="at", known_at="known", ttl=ttl)

    for row, request in zip(found.to_pylist(), wanted.to_pylist(), strict=True):
        assert _rounded(row) == _rounded(_one_run(table, request, EVERY, ttl))


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Sums may be added up in another order."""
    return {name: None if value is None else f"{value:.9g}" for name, value in row.items()}


def _one_run(table: pa.Table, request: dict[str, Any], view: WindowDefinition, ttl: timedelta | None) -> dict[str, Any]:
    arrived = [row for row in table.to_pylist() if row["known"] is not None and row["known"] <= request["at"]]
    asked = pa.Table.from_pylist([request], schema=REQUESTS)
    until = asked["at"].cast(pa.int64())[0].as_py()
    gold = window_features(pa.Table.from_pylist(arrived, schema=table.schema), view, until=until)
    features = tuple(feature.name for feature in view.features)
    history = History("gold", tuple(view.keys), features, EVENT_TIMESTAMP, ttl=ttl)
    return as_of_join(asked, gold, history, at="at").to_pylist()[0]
