from datetime import UTC, datetime, timedelta

import polars as pl

from larder.verify.compare import ViewComparison, compared_view

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
STAMP = pl.Datetime("us", "UTC")


def rows(*values: tuple[str, float | None, int | None, int | None]) -> pl.DataFrame:
    """Rows of (buyer, spent, event hour, known hour); null hours mean that no value is valid."""

    def hour(number: int | None) -> datetime | None:
        return None if number is None else NOON.replace(hour=number)

    return pl.DataFrame(
        [(buyer, spent, hour(event), hour(known)) for buyer, spent, event, known in values],
        schema={"buyer": pl.String, "spent": pl.Float64, "event_timestamp": STAMP, "known_at": STAMP},
        orient="row",
    )


def compared(online: pl.DataFrame, offline: pl.DataFrame, ttl: timedelta | None = None) -> ViewComparison:
    return compared_view("buyers", online, offline, keys=["buyer"], features=["spent"], instant=NOON, ttl=ttl)


def test_equal_values_nulls_and_nans_are_no_difference():
    both = rows(("a", 1.0, 10, 10), ("b", None, 10, 10), ("c", float("nan"), 10, 10))

    result = compared(both, both)

    assert (result.entities, result.compared, result.different) == (3, 3, 0)


def test_every_difference_has_its_cause():
    online = rows(
        ("value", 2.0, 10, 10),
        ("behind", 1.0, 9, 9),
        ("late", 1.0, 10, 10),
        ("ahead", 1.0, 11, 11),
        ("extra", 1.0, 9, 9),
    )
    offline = rows(
        ("value", 1.0, 10, 10),
        ("behind", 5.0, 10, 10),
        ("late", 5.0, 10, 11),
        ("ahead", 5.0, 10, 10),
        ("missing", 1.0, 10, 10),
    )

    (spent,) = compared(online, offline).features

    assert spent.causes == {"value": 1, "behind": 2, "ahead": 1, "extra": 1, "missing": 1}
    assert (spent.equal, spent.different, spent.missing) == (0, 6, 1)


def test_a_value_past_its_ttl_on_both_sides_is_stale_not_different():
    online = rows(("a", 1.0, 9, 9), ("b", 1.0, 11, 11))
    offline = rows(("a", None, None, None), ("b", 1.0, 11, 11))

    (spent,) = compared(online, offline, ttl=timedelta(hours=2)).features

    assert (spent.equal, spent.stale, spent.different) == (1, 1, 0)


def test_a_value_that_redis_serves_and_offline_does_not_is_a_difference():
    online, offline = rows(("a", None, 9, 9)), rows(("a", None, None, None))

    (spent,) = compared(online, offline).features

    assert spent.causes == {"extra": 1}


def test_an_entity_that_neither_side_knows_yet_is_equal():
    (spent,) = compared(rows(), rows(("a", None, None, None))).features

    assert (spent.equal, spent.different) == (1, 0)


def test_an_empty_redis_misses_everything():
    (spent,) = compared(rows(), rows(("a", 1.0, 10, 10), ("b", 1.0, 10, 10))).features

    assert (spent.missing, spent.different, spent.equal) == (2, 2, 0)
