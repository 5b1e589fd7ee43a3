"""Reading the prediction log: in order whatever order it was written in, only what was asked for, beside its labels."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import larder.predictions
from larder.contracts.tables import Lake
from larder.predictions import LIVE, OUTCOME, SHADOW, judged, live_counts, read_predictions
from tests.monitoring.library import (
    MODEL,
    NOW,
    answers_table,
    features,
    labels_table,
    settings_of,
    write_answers,
    write_labels,
)

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(settings_of(tmp_path).lake)


def logged(rows: int, **others: object) -> pa.Table:
    return answers_table(features(np.random.default_rng(3), rows), **others)  # type: ignore[arg-type]


@pytest.mark.parametrize("piece", [7, 1_000])
def test_answers_of_two_servers_at_once_come_in_order_of_time(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
):
    monkeypatch.setattr(larder.predictions, "_PIECE", piece)
    answered = logged(50)
    shuffled = np.random.default_rng(4).permutation(50)
    write_answers(settings_of(tmp_path), answered.take(shuffled[:20]), answered.take(shuffled[20:]))

    found = read_predictions(lake.predictions(MODEL), since=NOW - DAY, until=NOW)

    assert found.select(answered.column_names).to_pylist() == answered.to_pylist()


def test_only_the_traffic_that_was_asked_for_is_read(lake: Lake, tmp_path: Path):
    write_answers(settings_of(tmp_path), logged(5), logged(3, traffic=SHADOW), pa.concat_tables([logged(2), logged(1)]))
    place = lake.predictions(MODEL)

    found = {
        traffic: read_predictions(place, since=NOW - DAY, until=NOW, traffic=traffic)
        for traffic in (None, LIVE, SHADOW)
    }

    assert {traffic: rows.num_rows for traffic, rows in found.items()} == {None: 11, LIVE: 8, SHADOW: 3}
    assert found[SHADOW]["traffic"].unique().to_pylist() == [SHADOW]


def test_live_answers_are_counted_in_windows_that_begin_open_and_may_overlap(lake: Lake, tmp_path: Path):
    place, hour = lake.predictions(MODEL), timedelta(hours=1)
    windows = [(NOW - DAY, NOW - 22 * hour), (NOW - 23 * hour, NOW - 22 * hour), (NOW - 2 * DAY, NOW), (NOW, NOW + DAY)]
    assert live_counts(place, windows) == [0, 0, 0, 0]

    write_answers(settings_of(tmp_path), logged(24), logged(24, traffic=SHADOW), logged(5, end=NOW - 10 * DAY))

    assert live_counts(place, windows) == [2, 1, 24, 0]


def test_answers_from_before_there_was_a_shadow_count_as_live(lake: Lake, tmp_path: Path):
    write_answers(settings_of(tmp_path), logged(4).drop_columns("traffic"))

    assert live_counts(lake.predictions(MODEL), [(NOW - DAY, NOW)]) == [4]


def test_an_answer_finds_its_label_wherever_that_stands_in_the_label_table(lake: Lake, tmp_path: Path):
    settings = settings_of(tmp_path)
    answered = logged(30, first_book=100)
    for table in (logged(40), answered, logged(40, first_book=200)):
        write_labels(settings, labels_table(table, [table is answered] * table.num_rows, after=0 * HOUR))

    found = judged(answered, lake.labels("loans"), "is_late", now=NOW)

    assert found.rows[OUTCOME].to_pylist() == [1] * 30 and found.ambiguous == 0


def test_a_request_without_a_value_finds_the_label_without_one(lake: Lake, tmp_path: Path):
    answered = logged(2)
    request = pa.StructArray.from_arrays([pa.array([5, None]), pa.array([None, "b"])], names=["book", "branch"])
    answered = answered.set_column(answered.column_names.index("request"), "request", request)
    write_labels(settings_of(tmp_path), labels_table(answered, [True, False], after=0 * HOUR))

    found = judged(answered, lake.labels("loans"), "is_late", now=NOW)

    assert found.rows[OUTCOME].to_pylist() == [1, 0]


@pytest.mark.parametrize(("asked", "stored"), [(pa.string(), pa.int64()), (pa.int64(), pa.string())])
def test_keys_that_labels_store_in_another_type_find_each_other(
    lake: Lake, tmp_path: Path, asked: pa.DataType, stored: pa.DataType
):
    answered = logged(3, first_book=9)  # as text 10 comes before 9
    labels = labels_table(answered, [True, False, True], after=0 * HOUR)
    books = labels["book"].combine_chunks()
    request = pa.StructArray.from_arrays([books.cast(asked)], names=["book"])
    answered = answered.set_column(answered.column_names.index("request"), "request", request)
    write_labels(settings_of(tmp_path), labels.set_column(0, "book", books.cast(stored)))

    found = judged(answered, lake.labels("loans"), "is_late", now=NOW)

    assert found.rows[OUTCOME].to_pylist() == [1, 0, 1]


def asked_about_one_book(hours: list[float]) -> pa.Table:
    """Answers about the same book, so many hours before NOW."""
    answered = logged(len(hours))
    request = pa.StructArray.from_arrays(
        [pa.array([7] * len(hours)), pa.array([None] * len(hours))], ["book", "branch"]
    )
    instants = pa.array([NOW - timedelta(hours=hour) for hour in hours], pa.timestamp("us", "UTC"))
    answered = answered.set_column(answered.column_names.index("request"), "request", request)
    return answered.set_column(answered.column_names.index("at"), "at", instants)


@pytest.mark.parametrize(
    ("hours", "outcome"),
    [
        (20, 1),  # asked at the label's own instant
        (19, 1),  # a little later, before that outcome was known
        (21, 1),  # a little ahead of it
        (13, 0),  # nearer to the next label
        (15, 0),  # as near to both, but the earlier outcome was known by then
        (15.4, 0),  # nearer to the earlier, whose outcome was known six minutes before
        (15.5, 1),  # at the instant at which it became known
        (16, 1),  # nearer to the earlier, whose outcome was still open
        (1, None),  # every outcome was known before this question
    ],
)
def test_an_entity_that_is_asked_about_again_and_again_finds_the_nearest_label_that_was_open(
    lake: Lake, tmp_path: Path, hours: float, outcome: int | None
):
    write_labels(settings_of(tmp_path), labels_table(asked_about_one_book([20, 10]), [True, False], after=4.5 * HOUR))

    found = judged(asked_about_one_book([hours]), lake.labels("loans"), "is_late", now=NOW)

    assert (found.rows[OUTCOME].to_pylist(), found.ambiguous) == ([outcome], 0)


@pytest.mark.parametrize(("after", "outcome"), [(0 * HOUR, 1), (-HOUR, None)])
def test_what_was_known_before_the_question_is_no_outcome(
    lake: Lake, tmp_path: Path, after: timedelta, outcome: int | None
):
    write_labels(settings_of(tmp_path), labels_table(asked_about_one_book([20]), [True], after=after))

    found = judged(asked_about_one_book([20]), lake.labels("loans"), "is_late", now=NOW)

    assert found.rows[OUTCOME].to_pylist() == [outcome]


def test_two_labels_of_one_instant_are_no_outcome_and_answers_keep_their_order(lake: Lake, tmp_path: Path):
    write_labels(
        settings_of(tmp_path), labels_table(asked_about_one_book([20, 20, 10]), [True, False, True], after=HOUR)
    )

    found = judged(asked_about_one_book([10, 20, 10]), lake.labels("loans"), "is_late", now=NOW)

    assert (found.rows[OUTCOME].to_pylist(), found.ambiguous) == ([1, None, 1], 1)
