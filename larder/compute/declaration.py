"""Windows written down once: statistics x window lengths become Feast aggregations and fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypedDict

from feast import Entity, Field
from feast.aggregation import Aggregation
from feast.types import Float64, Int64, PrimitiveFeastType, from_value_type

FUNCTIONS = ("sum", "count", "mean", "min", "max", "stddev", "count_distinct", "last")
_COUNTS = ("count", "count_distinct")


@dataclass(frozen=True)
class Statistic:
    """One function over one column of the source, to be taken over several windows."""

    column: str
    function: str
    """One of `FUNCTIONS`. All ignore null values; counts are 0 and the others null on an empty window."""
    name: str
    """Name of the feature, before the window is appended: `arrival_delay_mean` -> `arrival_delay_mean_24h`."""
    description: str
    dtype: PrimitiveFeastType | None = None
    """Feast type of the feature; None means Int64 for counts and Float64 otherwise."""


class WindowedSchema(TypedDict):
    """The two arguments of a StreamFeatureView that follow from its statistics."""

    aggregations: list[Aggregation]
    schema: list[Field]


def windowed(
    statistics: Sequence[Statistic],
    windows: Mapping[str, timedelta],
    *,
    every: timedelta,
    keys: Sequence[Entity],
    prefix: str = "",
) -> WindowedSchema:
    """`aggregations` and `schema` for a StreamFeatureView: every statistic over every window.

    `windows` maps the suffix of the feature's name to the window's length; `every` is the grid on which
    values change. A window of length w at grid instant g covers source rows with g - w < t <= g.
    """
    aggregations, fields = [], [Field(name=key.join_key, dtype=from_value_type(key.value_type)) for key in keys]
    for statistic in statistics:
        for suffix, length in windows.items():
            name = "_".join(part for part in (prefix, statistic.name, suffix) if part)
            aggregations.append(Aggregation(statistic.column, statistic.function, length, every, name))
            dtype = statistic.dtype or (Int64 if statistic.function in _COUNTS else Float64)
            fields.append(Field(name=name, dtype=dtype, description=f"{statistic.description}; last {suffix}"))
    return WindowedSchema(aggregations=aggregations, schema=fields)
