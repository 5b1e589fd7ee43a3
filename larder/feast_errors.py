"""Errors of the stores as Feast's servers tell errors: with a status code, and by name to Feast's clients."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from feast.errors import FeastError

from larder.contracts import errors

STATUSES = {
    errors.DamagedRecordError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.OnlineStoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.InvalidDataError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.MissingColumnsError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnsupportedError: HTTPStatus.NOT_IMPLEMENTED,
}
"""What a kind of error is over HTTP, narrower kinds first; all others are failures of the server, as Feast has it."""

Kind = type[errors.LarderError]
_KINDS: dict[Kind, Kind] = {}


@contextmanager
def told_to_feast() -> Iterator[None]:
    """Make each LarderError that leaves the block Feast's as well; what is caught as ours is still caught."""
    try:
        yield
    except FeastError:
        raise
    except errors.LarderError as problem:
        raise as_feast_error(problem).with_traceback(problem.__traceback__) from problem.__cause__


def as_feast_error(problem: errors.LarderError) -> errors.LarderError:
    """The same error, and a FeastError; Feast's servers answer 500, and no more, to all others."""
    kind = feast_kind(type(problem))
    told: errors.LarderError = kind.__new__(kind, *problem.args)
    told.__dict__.update(vars(problem))
    return told


def feast_kind(kind: Kind) -> Kind:
    """The one kind of error below `kind` and FeastError, found in this module by the name of `kind`."""
    if kind not in _KINDS:
        _KINDS[kind] = _made_kind(kind)
    return _KINDS[kind]


def _made_kind(kind: Kind) -> Kind:
    status = next((status for known, status in STATUSES.items() if issubclass(kind, known)), None)
    # What Feast's clients make of a server's answer has a text, and no message of click's.
    own: dict[str, Any] = {"__module__": __name__, "__doc__": kind.__doc__, "format_message": lambda told: str(told)}
    if status is not None:
        own["http_status_code"] = lambda _: int(status)
    return type(kind.__name__, (FeastError, kind), own)


def __getattr__(name: str) -> Kind:
    """Where Feast's clients look for the kind of error that a server named."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, errors.LarderError):
        return feast_kind(kind)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
