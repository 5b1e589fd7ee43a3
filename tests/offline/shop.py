"""Instants of one day, and requests for the features of the shops that conftest.py sets up."""

from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")


def at(clock: str) -> datetime:
    hours, minutes = map(int, clock.split(":"))
    return datetime(2020, 1, 1, hours, minutes, tzinfo=UTC)


def instants(*clocks: str) -> pa.Array:
    return pa.array([at(clock) for clock in clocks], INSTANT)


def rows(*rows: tuple[str | None, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["shop_id", "clock"])
    return frame.assign(event_timestamp=[at(clock) for clock in frame.pop("clock")])
