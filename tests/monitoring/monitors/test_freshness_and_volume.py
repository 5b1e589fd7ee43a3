from datetime import timedelta
from pathlib import Path

import pytest

from larder.contracts.errors import InvalidDataError
from larder.contracts.monitoring import Monitoring, Verdict
from larder.offline.history import History
from monitoring.live import view_state
from monitoring.monitors.freshness import ViewState, freshness
from monitoring.monitors.volume import volume
from tests.monitoring.library import NOW, WINDOW, alarms

LIMITS = Monitoring(lag=timedelta(hours=1), volume_change=0.5)
HOUR = timedelta(hours=1)


def test_a_view_alarms_only_once_its_lag_exceeds_the_limit():
    views = [ViewState("books", NOW, NOW - HOUR), ViewState("returns", NOW, NOW - HOUR - timedelta(seconds=1))]

    assert alarms(freshness(WINDOW, views, {}, LIMITS)) == [("freshness", "returns", "lag_hours")]


def test_a_view_that_was_never_materialized_cannot_be_judged_and_an_empty_history_has_no_age():
    [found] = freshness(WINDOW, [ViewState("books", None, None)], {}, LIMITS)

    assert found.verdict is Verdict.UNKNOWN and "never materialized" in found.evidence


def test_a_source_that_cannot_be_read_hides_neither_other_views_nor_how_far_its_own_is_online(tmp_path: Path):
    nowhere = History(str(tmp_path / "returns"), (), (), "returned_at")
    views = [view_state("returns", lambda: nowhere, NOW, online_until=NOW - 2 * HOUR), ViewState("books", NOW, NOW)]

    lag, age, *books = freshness(WINDOW, views, {}, LIMITS)

    assert (lag.metric, lag.verdict) == ("lag_hours", Verdict.ALARM)
    assert age.verdict is Verdict.UNKNOWN and "There is no Delta table at" in age.evidence
    assert [found.verdict for found in books] == [Verdict.OK, Verdict.OK]


def test_the_age_of_the_newest_event_is_reported_without_a_limit_while_runs_are_few():
    _, age = freshness(WINDOW, [ViewState("books", NOW - 30 * HOUR, NOW)], {"books": [0.1] * 6}, LIMITS)

    assert (age.metric, age.value, age.limit) == ("age_hours", 30.0, None)


@pytest.mark.parametrize(
    ("earlier", "age", "verdict"),
    [
        ([0.1] * 28, 2.0, Verdict.ALARM),  # events all the time: two hours of silence are news
        ([0.1] * 28, 1.2, Verdict.OK),
        ([23.0] * 28, 24.0, Verdict.OK),  # a file a day, which ends a day ago when it comes
        ([23.0] * 28, 71.0, Verdict.ALARM),  # two files in a row did not come
        ([float(24 * (day % 7)) for day in range(28)], 7 * 24.0, Verdict.OK),  # a file a week
        ([0.1] * 26 + [30.0, 54.0], 10.0, Verdict.ALARM),  # what came late once or twice is no measure
        ([1_000.0 + 24 * day for day in range(28)], 1_700.0, Verdict.OK),  # a table that never changes
    ],
)
def test_events_that_stop_are_noticed_by_what_was_usual_in_earlier_runs(
    earlier: list[float], age: float, verdict: Verdict
):
    _, found = freshness(WINDOW, [ViewState("books", NOW - age * HOUR, NOW)], {"books": earlier}, LIMITS)

    assert (found.metric, found.verdict) == ("age_hours", verdict)
    assert "of the 28 runs before" in found.evidence


def test_without_any_view_freshness_is_refused_rather_than_found_well():
    with pytest.raises(InvalidDataError, match="No feature view"):
        freshness(WINDOW, [], {}, LIMITS)


@pytest.mark.parametrize(
    ("count", "earlier", "verdict"),
    [
        (1_000, [990, 1_020, 500, 1_000], Verdict.OK),
        (499, [1_000] * 4, Verdict.ALARM),
        (1_501, [1_000] * 4, Verdict.ALARM),
        (0, [1_000] * 4, Verdict.ALARM),
        (1, [3, 4, 2, 3], Verdict.OK),  # so few scatter by more than half without a reason
        (400, [0, 0, 200, 1_000], Verdict.ALARM),  # the first answers of all were given within the window that had 200
        (900, [0, 0, 200, 1_000], Verdict.OK),
    ],
)
def test_volume_is_held_against_the_median_of_the_weeks_with_history(count: int, earlier: list[int], verdict: Verdict):
    _, change = volume(WINDOW, "late_books", count, earlier, LIMITS)

    assert change.verdict is verdict
