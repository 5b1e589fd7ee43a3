"""Request-time features: the same function that training used, run on the rows of one request."""

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.plan import OnDemandPlan

REQUEST = ""
"""Stands for the caller in `OnDemandPlan.inputs`."""


class OnDemand:
    """One on-demand view, bound to the places of its inputs in a row of values."""

    def __init__(
        self,
        plan: OnDemandPlan,
        slots: Mapping[tuple[str, str], int],
        names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`names`: of views that the plan calls otherwise than their definitions do, by which functions know them."""
        self._plan = plan
        self._names = names
        self._inputs = [(view, field, slots[view, field]) for view, field in plan.inputs]
        self._function = _loaded(plan)
        self._converters = [_CONVERTERS.get(output.dtype, _unchanged) for output in plan.outputs]

    def append_outputs(self, rows: list[list[Any]]) -> None:
        """Append the outputs to each row, null where the function says None.

        Raises InvalidDataError when the function fails on a null that the caller sent, ConfigurationError
        when it fails otherwise or returns what it does not declare.
        """
        try:
            outputs = self._function(self._columns(rows))
        except Exception as problem:
            raise self._failure(problem, rows) from problem
        columns = [self._column(outputs, index, len(rows)) for index in range(len(self._plan.outputs))]
        for row, values in zip(rows, zip(*columns, strict=True), strict=True):
            row.extend(values)

    def _columns(self, rows: list[list[Any]]) -> dict[str, list[Any]]:
        """Inputs by short and by full name, as Feast hands them over."""
        columns = {}
        for view, field, slot in self._inputs:
            column = [row[slot] for row in rows]
            columns[field] = column
            if view != REQUEST:
                columns[f"{self._names.get(view, view)}__{field}"] = column
        return columns

    def _column(self, outputs: Any, index: int, length: int) -> list[Any]:
        output, convert = self._plan.outputs[index], self._converters[index]
        try:
            column = [None if value is None else convert(value) for value in outputs[output.name]]
        except (KeyError, TypeError, ValueError, OverflowError) as problem:
            raise ConfigurationError(
                f"On-demand view {self._plan.name!r} must return a list of {output.dtype} as {output.name!r}, "
                f"which failed: {problem!r}. Correct its function."
            ) from problem
        if len(column) != length:
            raise ConfigurationError(
                f"On-demand view {self._plan.name!r} returned {len(column)} values of {output.name!r} "
                f"for {length} rows. Correct its function."
            )
        return column

    def _failure(self, problem: Exception, rows: list[list[Any]]) -> ConfigurationError | InvalidDataError:
        sent = [(field, slot) for view, field, slot in self._inputs if view == REQUEST]
        for field, slot in sent:
            if any(row[slot] is None for row in rows):
                return InvalidDataError(
                    f"{field!r} is null, but {self._plan.name!r} cannot do without it: {problem!r}.", field=field
                )
        return ConfigurationError(f"On-demand view {self._plan.name!r} failed: {problem!r}. Correct its function.")


def _loaded(plan: OnDemandPlan) -> Callable[[dict[str, list[Any]]], Mapping[str, Any]]:
    import dill  # only plans with on-demand views pay for it

    function: Callable[[dict[str, list[Any]]], Mapping[str, Any]] = dill.loads(plan.function)
    return function


def _unchanged(value: Any) -> Any:
    return value


def _float32(value: Any) -> float:
    """Rounded as in training; OverflowError beyond the range."""
    rounded: float = _FLOAT32.unpack(_FLOAT32.pack(float(value)))[0]
    return rounded


_FLOAT32 = struct.Struct("<f")


_CONVERTERS: Mapping[str, Callable[[Any], Any]] = {
    "float64": float,
    "float32": _float32,
    "int64": int,
    "int32": int,
    "bool": bool,
}
