"""What a declared value must be: refused where it is declared, with what was seen and what is possible."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from larder.contracts.errors import ConfigurationError


def require_number(
    what: str, value: object, *, least: float | None = None, above: float | None = None, most: float | None = None
) -> None:
    """A finite number, at least `least`, above `above`, and at most `most`, where these are given."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if (
        is_number
        and (least is None or value >= least)  # type: ignore[operator]
        and (above is None or value > above)  # type: ignore[operator]
        and (most is None or value <= most)  # type: ignore[operator]
    ):
        return
    limits = {"at least": least, "above": above, "at most": most}
    words = " and ".join(f"{name} {limit:g}" for name, limit in limits.items() if limit is not None)
    raise ConfigurationError(f"{what} is {value!r}; it must be a finite number{f' {words}' if words else ''}.")


def require_count(what: str, value: object, *, least: int = 0) -> None:
    """A whole number from `least` on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f"{what} is {value!r}; it must be a whole number, at least {least}.")


def require_length(what: str, value: object, *, above_zero: bool = False) -> None:
    """A timedelta from zero on, or above it."""
    if not isinstance(value, timedelta) or value < timedelta(0) or (above_zero and not value):
        limit = "above" if above_zero else "of at least"
        raise ConfigurationError(f"{what} is {value!r}; it must be a timedelta {limit} zero, say timedelta(days=2).")


def require_instant(what: str, value: object) -> None:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ConfigurationError(
            f"{what} is {value!r}; it must be a datetime with a time zone, like datetime(2024, 3, 1, tzinfo=UTC)."
        )


def require_kind(what: str, value: object, *kinds: type) -> None:
    """One of `kinds`; a text is one that says something."""
    if not isinstance(value, kinds) or value == "":
        names = {str: "text", type(None): "None"}
        possible = " or ".join(names.get(kind, kind.__name__) for kind in kinds)
        raise ConfigurationError(f"{what} is {value!r}; it must be a {possible}.")


def require_several(what: str, values: object, kind: type) -> None:
    """A tuple (or list) of `kind`; a single one is mostly a forgotten comma, and a text a tuple of its letters."""
    if not isinstance(values, tuple | list) or not all(isinstance(value, kind) for value in values):
        one = "text" if kind is str else kind.__name__
        raise ConfigurationError(f"{what} is {values!r}; it must be a tuple with a {one} each, like (one,).")


def require_one_of(what: str, value: object, possible: Sequence[Any]) -> None:
    if value not in possible:
        raise ConfigurationError(f"{what} is {value!r}; possible are {', '.join(map(repr, possible))}.")
