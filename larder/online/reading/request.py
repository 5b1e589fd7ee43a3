"""Request data: what only the caller knows, checked and typed before anything computes with it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.plan import Feature

RequestParser = Callable[[Mapping[str, Any]], list[Any]]


def request_parser(fields: Sequence[Feature]) -> RequestParser:
    """A function from a request row to the values of `fields`, in order; null stays None.

    Instants come as ISO 8601 text or datetime, always with a time zone, and become UTC. The function
    raises InvalidDataError, naming the field, for a missing field or a value of the wrong type.
    """
    for field in fields:
        if field.dtype not in _PARSERS:
            raise ConfigurationError(
                f"Request field {field.name!r} has type {field.dtype}, which a request cannot carry; "
                f"possible are {', '.join(_PARSERS)}. Change the type of the field."
            )
    parsers = [(field.name, _PARSERS[field.dtype]) for field in fields]

    def parse(row: Mapping[str, Any]) -> list[Any]:
        values = []
        for name, parser in parsers:
            try:
                value = row[name]
            except KeyError:
                raise InvalidDataError(f"The request lacks {name!r}. Add it to each row.", field=name) from None
            values.append(None if value is None else parser(name, value))
        return values

    return parse


def shown(value: Any) -> str:
    """`value` for an error message, never longer than a line."""
    if isinstance(value, int) and abs(value) >= 1 << 64:
        return "a number of more than 64 bits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def wrong_type(name: str, expected: str, value: Any) -> InvalidDataError:
    """The error for a field or a key of a request whose value is of another kind."""
    return InvalidDataError(f"{name!r} must be {expected}; it is {shown(value)}.", field=name)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, "a number", value)
    try:
        return float(value)
    except OverflowError:
        raise wrong_type(name, "a number that fits into 64 bits", value) from None


def _integer(bits: int) -> Callable[[str, Any], int]:
    bound = 1 << (bits - 1)

    def parse(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not -bound <= value < bound:
            raise wrong_type(name, f"an integer of {bits} bits", value)
        return value

    return parse


def _instance_of(kind: type, expected: str) -> Callable[[str, Any], Any]:
    def parse(name: str, value: Any) -> Any:
        if not isinstance(value, kind):
            raise wrong_type(name, expected, value)
        return value

    return parse


def _instant(name: str, value: Any) -> datetime:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(instant, datetime) and instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise wrong_type(name, "an ISO 8601 instant with a time zone, like 2013-12-28T17:00:00Z", value)


_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "float64": _number,
    "float32": _number,
    "int64": _integer(64),
    "int32": _integer(32),
    "bool": _instance_of(bool, "true or false"),
    "string": _instance_of(str, "text"),
    "bytes": _instance_of(bytes, "bytes"),
    "unix_timestamp": _instant,
}
