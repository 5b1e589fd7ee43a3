"""Windows written down once: statistics x window lengths become Feast aggregations, and these the kernel's windows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypedDict

import pyarrow as pa
from feast import Entity, Field, StreamFeatureView
from feast.aggregation import Aggregation
from feast.type_map import feast_value_type_to_pa
from feast.types import Float64, Int64, PrimitiveFeastType, from_value_type
from feast.value_type import ValueType

from larder.compute.definition import FUNCTIONS, WindowDefinition, WindowFeature
from larder.contracts.clock import MICROSECOND
from larder.contracts.errors import ConfigurationError
from larder.offline.tables.kinds import INSTANT
from larder.views import feature_fields, key_fields

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


def window_definition(view: StreamFeatureView) -> WindowDefinition:
    """The windows that an applied `view` declares.

    Raises ConfigurationError, naming the aggregation, for what cannot be computed exactly.
    """
    if not view.aggregations:
        raise ConfigurationError(f"Feature view {view.name!r} declares no aggregations.")
    slide = _slide(view)
    aggregations = {_name(item): item for item in view.aggregations}
    # By name, as the features: the registry's order changes from one `feast apply` to the next.
    keys = {key.name: _arrow_type(key) for key in sorted(key_fields(view), key=lambda key: key.name)}
    fields = feature_fields(view)
    declared = {field.name for field in fields}
    if len(aggregations) < len(view.aggregations) or declared != set(aggregations):
        raise ConfigurationError(
            f"Feature view {view.name!r} has the fields {sorted(declared)} but the aggregations "
            f"{sorted(_name(item) for item in view.aggregations)}. Give each field exactly one aggregation of its name."
        )
    return WindowDefinition(
        view=view.name,
        keys=keys,
        timestamp=view.timestamp_field,
        slide=slide // MICROSECOND,
        features=tuple(_feature(field, aggregations[field.name], slide, view.name) for field in fields),
    )


def _slide(view: StreamFeatureView) -> timedelta:
    slides: set[timedelta] = {item.slide_interval for item in view.aggregations}
    slide = slides.pop()
    if slides or not slide or slide < timedelta(0):
        every = ", ".join(f"{_name(item)}: {item.slide_interval}" for item in view.aggregations)
        raise ConfigurationError(
            f"The aggregations of {view.name!r} must have one slide interval, longer than nothing; they have {every}."
        )
    return slide


def _feature(field: Field, aggregation: Aggregation, slide: timedelta, view: str) -> WindowFeature:
    where = f"Aggregation {field.name!r} of {view!r}"
    if aggregation.function not in FUNCTIONS:
        raise ConfigurationError(
            f"{where} has the function {aggregation.function!r}; possible are {', '.join(FUNCTIONS)}."
        )
    window = aggregation.time_window
    if not window or window < timedelta(0) or window % slide:
        raise ConfigurationError(
            f"{where} has the window {window} with slide interval {slide}; a window must be longer than nothing and a "
            "multiple of its slide interval (5 minutes fit into 1 hour, 7 minutes do not)."
        )
    return WindowFeature(field.name, aggregation.column, aggregation.function, window // slide, _arrow_type(field))


def _arrow_type(field: Field) -> pa.DataType:
    value_type = field.dtype.to_value_type()
    if value_type == ValueType.UNIX_TIMESTAMP:
        return INSTANT
    try:
        dtype = feast_value_type_to_pa(value_type)
    except KeyError:
        dtype = None
    if dtype is None or pa.types.is_nested(dtype):
        raise ConfigurationError(f"Field {field.name!r} has the type {field.dtype}, which no window function returns.")
    return dtype


def _name(aggregation: Aggregation) -> str:
    return str(aggregation.resolved_name(aggregation.time_window))
