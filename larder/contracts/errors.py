"""Errors that a user can act on.

Every message is one sentence with what was seen, what is possible and what to do next. The command
line prints it and exits with 2; a library user catches `LarderError` or one of its kinds.
"""

from typing import ClassVar

from click import ClickException


class LarderError(ClickException):
    """Root of all errors raised on purpose. Feast's commands, which are made with click, print it as one sentence."""

    exit_code: ClassVar[int] = 2


class ConfigurationError(LarderError):
    """A setting, a definition or a use case file does not fit."""


class MissingTableError(LarderError):
    """A table that a step reads does not exist yet, or not at the pinned version."""


class MissingColumnsError(LarderError):
    """A table or a file lacks columns that a definition names."""


class InvalidDataError(LarderError):
    """Data that must not be stored or used: wrong type, naive time, null key, damaged file.

    `field` names the column or request field at fault where there is exactly one.
    """

    field: str | None = None

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class MissingKeyError(InvalidDataError, KeyError):
    """A request does not name an entity. Feast raises KeyError for it, and so does this."""


class UnsupportedError(LarderError, NotImplementedError):
    """Something that Feast's interface has and a store of ours has not."""


class DependencyError(LarderError):
    """A program or service that a step needs is absent: Java, Redis, an extra of this package."""


class OnlineStoreError(LarderError):
    """Redis is out of reach, not ours, or holds something that this version cannot read."""


class DamagedRecordError(OnlineStoreError):
    """Redis answers, but what it holds of one entity is no whole record."""


class SchemaMismatchError(LarderError):
    """Stored records, a model and the feature definitions do not belong together."""


class ApprovalError(LarderError):
    """A version may not serve before persons have approved it, or not this person may approve."""


class GateError(LarderError):
    """A challenger does not pass the gates."""


class BusyError(LarderError):
    """Another process, or a step that has not ended yet, holds what this one needs; later it may go through."""


class DifferenceError(LarderError):
    """Online and offline values differ."""


class LeakageError(LarderError):
    """Features look better in training than they can be served."""


def first_line(problem: BaseException) -> str:
    """What a library's error says, short enough to stand inside a sentence; its class where it says nothing."""
    text = problem.msg if isinstance(problem, SyntaxError) else str(problem)
    return next(iter(text.strip().splitlines()), type(problem).__name__)[:300].rstrip(". ")
