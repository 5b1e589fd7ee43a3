"""From Redis keys back to entities."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from larder.contracts.errors import InvalidDataError
from larder.contracts.plan import ViewPlan
from larder.online.packed.keys import KEY_LETTERS, entity_encoder, view_prefix
from larder.online.packed.types import instant

Entity = tuple[Any, ...]
"""Values of the join keys, in the plan's order."""


def entity_decoder(view: ViewPlan, project: str) -> Callable[[bytes], Entity | None]:
    """From a key as a reader makes it to its entity, None for a key that no entity of the view has."""
    encode, prefix = entity_encoder(view), view_prefix(project, view.name)

    def decode(key: bytes) -> Entity | None:
        try:
            entity = tuple(_values(key[len(prefix) + 1 : -1], [key.dtype for key in view.join_keys]))
            is_exact = prefix + encode(dict(zip(view.request_keys, entity, strict=True))) == key
        except (ValueError, OverflowError, InvalidDataError):
            return None
        return entity if is_exact else None

    return decode


def _values(encoded: bytes, dtypes: Iterable[str]) -> Iterator[Any]:
    """The parts of an entity key: letter, length, colon, value. Raises ValueError where they end too early."""
    for dtype in dtypes:
        length, _, rest = encoded[1:].partition(b":")
        value, encoded = rest[: int(length)], rest[int(length) :]
        yield _PARSERS[KEY_LETTERS[dtype]](value)


_PARSERS: dict[str, Callable[[bytes], Any]] = {
    "s": bytes.decode,
    "b": bytes,
    "i": int,
    "t": lambda digits: instant(int(digits)),
}
