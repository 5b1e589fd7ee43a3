"""Redis keys: larder:<length>:<project>:<length>:<view>:{<entity key>}.

Names carry their length, so no project or view is a prefix of another's; they are percent-encoded, so
they hold no brace and no pattern character. The entity key is the Cluster hash tag: all views of one
entity share a slot. Each part of it is a type letter, a length and a value: {s3:JFKi2:42}.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from larder.contracts.clock import microseconds
from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.plan import ViewPlan
from larder.online.reading.request import wrong_type

KEY_LETTERS = {"string": "s", "bytes": "b", "int32": "i", "int64": "i", "unix_timestamp": "t"}
"""Type letter of each key type; instants count microseconds since 1970, UTC."""

NULL_ENTITY = b"null"
"""Stands where the braces would: a key with a null part is never written, so reading it finds nothing."""

EntityEncoder = Callable[[Mapping[str, Any]], bytes]


class ViewKeys(NamedTuple):
    """The Redis keys of some entities of one view: each is the prefix with an entity after it."""

    prefix: bytes
    entities: Sequence[bytes]


def whole_keys(views: Sequence[ViewKeys]) -> list[bytes]:
    """One view after the other."""
    return [view.prefix + entity for view in views for entity in view.entities]


def view_prefix(project: str, view: str) -> bytes:
    """What every key of one view begins with, and no other key does."""
    return b"larder:" + _delimited(project) + _delimited(view)


def project_prefix(project: str) -> bytes:
    return b"larder:" + _delimited(project)


def versions_pattern(project: str, view: str) -> bytes:
    """A pattern that the keys of all versions of a view match, and those of other views may: `view_in` tells them."""
    return project_prefix(project) + b"*:%b*" % quote(view, safe="").encode()


def view_in(key: bytes, project: str) -> str:
    """The stored name of the view that a key of the project belongs to, its version included."""
    return unquote(key.removeprefix(project_prefix(project)).split(b":", 2)[1].decode())


def entity_encoder(view: ViewPlan) -> EntityEncoder:
    """A function from a request row to the entity key's bytes; `NULL_ENTITY` when a part is null.

    Raises ConfigurationError for a key type that cannot be a key. The function raises InvalidDataError,
    naming the field, for a missing field or a value of the wrong type.
    """
    check_key_types(view)
    parts = [(name, _ENCODERS[key.dtype]) for name, key in zip(view.request_keys, view.join_keys, strict=True)]

    def encode(row: Mapping[str, Any]) -> bytes:
        encoded = b"{"
        is_null = False
        for name, encoder in parts:
            try:
                value = row[name]
            except KeyError:
                raise InvalidDataError(f"The request lacks the key {name!r}. Add it to each row.", field=name) from None
            if value is None:
                is_null = True
            else:
                encoded += encoder(name, value)
        return NULL_ENTITY if is_null else encoded + b"}"

    return encode


def check_key_types(view: ViewPlan) -> None:
    for key in view.join_keys:
        if key.dtype not in KEY_LETTERS:
            raise ConfigurationError(
                f"Join key {key.name!r} of view {view.name!r} has type {key.dtype}, which cannot be a key; "
                f"possible are {', '.join(KEY_LETTERS)}. Change the entity's value_type."
            )


def _delimited(name: str) -> bytes:
    quoted = quote(name, safe="").encode()
    return b"%d:%b:" % (len(quoted), quoted)


def _string(name: str, value: Any) -> bytes:
    if not isinstance(value, str):
        raise wrong_type(name, "text", value)
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        raise InvalidDataError(f"The key {name!r} is {value!r}, which is no valid Unicode text.", field=name) from None
    return b"s%d:%b" % (len(encoded), encoded)


def _bytes(name: str, value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise wrong_type(name, "bytes", value)
    return b"b%d:%b" % (len(value), value)


def _integer(bits: int) -> Callable[[str, Any], bytes]:
    low, high = -(1 << (bits - 1)), 1 << (bits - 1)
    # Nearly all keys are integers, and a request may have hundreds: formatting the head would take as long as the rest.
    heads = {length: b"i%d:" % length for length in range(1, len(str(low)) + 1)}

    def encode(name: str, value: Any) -> bytes:
        is_integer = type(value) is int or (isinstance(value, int) and not isinstance(value, bool))
        if not is_integer or not low <= value < high:
            raise wrong_type(name, f"an integer of {bits} bits", value)
        digits = b"%d" % value
        return heads[len(digits)] + digits

    return encode


def _instant(name: str, value: Any) -> bytes:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise wrong_type(name, "an instant with a time zone", value)
    digits = b"%d" % microseconds(value)
    return b"t%d:%b" % (len(digits), digits)


_ENCODERS: Mapping[str, Callable[[str, Any], bytes]] = {
    "string": _string,
    "bytes": _bytes,
    "int32": _integer(32),
    "int64": _integer(64),
    "unix_timestamp": _instant,
}
