"""Ed25519 signatures (RFC 8032): who made a file, for whoever knows the public key.

Keys are PEM files, as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from larder.contracts.errors import ConfigurationError
from larder.extras import importing

_END = b"-----END PUBLIC KEY-----"


class _Expected(NamedTuple):
    """What a setting's file has to hold."""

    setting: str
    belongs: str
    how: str
    """What openssl is told to make one."""


_PRIVATE = _Expected(
    "LARDER_SIGNING_KEY", "private key, without a password,", "genpkey -algorithm ed25519 -out key.pem"
)
_PUBLIC = _Expected("LARDER_TRUSTED_KEYS", "public key", "pkey -in key.pem -pubout -out trusted.pem")


def signature(data: bytes, key: Path) -> bytes:
    """By the private key in the file `key`. Raises ConfigurationError for a file that holds none."""
    with importing("A signature"):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

    (private,) = _keys(key, _PRIVATE, Ed25519PrivateKey, lambda pem: [load_pem_private_key(pem, password=None)])
    signed: bytes = private.sign(data)
    return signed


def is_signed(data: bytes, signed: bytes, trusted: Path) -> bool:
    """Whether `signed` is the signature of `data` by one of the public keys in the file `trusted`.

    Raises ConfigurationError for a file that holds none, or another kind of key.
    """
    with importing("A signature"):
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

    def loaded(pem: bytes) -> list[Any]:
        return [load_pem_public_key(part + _END) for part in pem.split(_END) if part.strip()]

    for key in _keys(trusted, _PUBLIC, Ed25519PublicKey, loaded):
        try:
            key.verify(signed, data)
        except InvalidSignature:
            continue
        return True
    return False


def _keys(path: Path, expected: _Expected, kind: type, loaded: Callable[[bytes], list[Any]]) -> list[Any]:
    """The keys in a file, all of one kind and at least one."""
    try:
        keys = loaded(path.read_bytes())
    except OSError as problem:
        raise _no_key(path, expected, f"cannot be read ({problem.strerror})") from problem
    except (ValueError, TypeError) as problem:  # TypeError where a password would be needed
        raise _no_key(path, expected, "holds something else") from problem
    others = [type(key).__name__ for key in keys if not isinstance(key, kind)]
    if others or not keys:
        raise _no_key(path, expected, f"holds {', '.join(others) or 'nothing'}")
    return keys


def _no_key(path: Path, expected: _Expected, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"{expected.setting} names {path}, which {reason} where the PEM of an Ed25519 {expected.belongs} belongs. "
        f"Make one with `openssl {expected.how}`."
    )
