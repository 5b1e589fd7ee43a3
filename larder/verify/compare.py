"""Comparing one view's online and offline values at one instant, entity by entity."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT

STAMPS = (EVENT_TIMESTAMP, KNOWN_AT)
_ONLINE = "@online"
_CAUSE = "@cause"


@dataclass(frozen=True)
class FeatureComparison:
    """One feature over all entities of its view; equal + stale + different = entities."""

    feature: str
    equal: int
    """Same value on both sides, or absent on both."""
    stale: int
    """Past its ttl on both sides, hence withheld."""
    missing: int
    """Of the different ones: Redis lacks the entity."""
    different: int
    causes: dict[str, int] = field(default_factory=dict)
    """Different ones by cause: missing, extra, behind, ahead, value."""


@dataclass(frozen=True)
class ViewComparison:
    """All entities of one view."""

    view: str
    entities: int
    features: tuple[FeatureComparison, ...]
    strays: int = 0
    """Entities in Redis that the history has never heard of; each of their features is different."""

    @property
    def compared(self) -> int:
        return (self.entities + self.strays) * len(self.features)

    @property
    def different(self) -> int:
        return sum(item.different for item in self.features) + self.strays * len(self.features)


def compared_view(
    view: str,
    online: pl.DataFrame,
    offline: pl.DataFrame,
    *,
    keys: Sequence[str],
    features: Sequence[str],
    instant: datetime,
    ttl: timedelta | None,
) -> ViewComparison:
    """Both sides hold one row per entity: `keys`, `features` and the two stamps, UTC.

    `online` is what Redis holds, before its ttl; an entity that Redis lacks has no row. `offline` is the
    as-of value at `instant` after its ttl: null stamps mean that no value is valid. Floats are equal when
    they have the same value; NaN equals NaN, null equals null.
    """
    both = _side_by_side(online, offline, keys=keys, instant=instant, ttl=ttl)
    return ViewComparison(view, both.height, tuple(_feature(both, name) for name in features))


def _side_by_side(
    online: pl.DataFrame, offline: pl.DataFrame, *, keys: Sequence[str], instant: datetime, ttl: timedelta | None
) -> pl.DataFrame:
    """One row per entity of either side, online columns suffixed, with the cause a difference would have."""
    stale = pl.lit(False) if ttl is None else (pl.lit(instant) - pl.col(EVENT_TIMESTAMP) > ttl)
    online = online.with_columns(stale.alias("@stale"), pl.lit(True).alias("@found"))
    online = online.rename({name: name + _ONLINE for name in online.columns if name not in (*keys, "@stale", "@found")})
    both = offline.with_columns(pl.lit(True).alias("@known")).join(online, on=list(keys), how="full", coalesce=True)
    stamp = pl.struct(STAMPS)
    offline_has = pl.col(EVENT_TIMESTAMP).is_not_null()
    online_stamps = [pl.col(name + _ONLINE) for name in STAMPS]
    is_behind = (online_stamps[0] < pl.col(EVENT_TIMESTAMP)) | (
        (online_stamps[0] == pl.col(EVENT_TIMESTAMP)) & (online_stamps[1] < pl.col(KNOWN_AT))
    )
    same_stamp = stamp == pl.struct(online_stamps[0].alias(EVENT_TIMESTAMP), online_stamps[1].alias(KNOWN_AT))
    return both.with_columns(
        pl.col("@stale", "@found", "@known").fill_null(False),
    ).with_columns(
        pl.when(offline_has & ~pl.col("@found"))
        .then(pl.lit("missing"))
        .when(~offline_has)
        .then(pl.lit("extra"))
        .when(same_stamp)
        .then(pl.lit("value"))
        .when(is_behind)
        .then(pl.lit("behind"))
        .otherwise(pl.lit("ahead"))
        .alias(_CAUSE)
    )


def _feature(both: pl.DataFrame, name: str) -> FeatureComparison:
    withheld = pl.col("@stale")
    served = pl.when(withheld).then(None).otherwise(pl.col(name + _ONLINE))
    # A value that both sides lack is equal only if both agree that there is none to serve.
    both_serve = pl.col(EVENT_TIMESTAMP).is_not_null() == (pl.col("@found") & ~withheld)
    rows = both.select((served.eq_missing(pl.col(name)) & both_serve).alias("same"), withheld.alias("stale"), _CAUSE)
    stale = rows.filter(pl.col("same") & pl.col("stale")).height
    equal = rows.filter(pl.col("same") & ~pl.col("stale")).height
    differing = rows.filter(~pl.col("same"))
    causes: dict[str, int] = dict(differing[_CAUSE].value_counts(sort=True).iter_rows())
    return FeatureComparison(
        feature=name,
        equal=equal,
        stale=stale,
        missing=causes.get("missing", 0),
        different=differing.height,
        causes=causes,
    )
