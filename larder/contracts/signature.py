"""Ed25519 signatures (RFC 8032): who made a file, for whoever knows the public key.

Keys are PEM files, as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from larder.contracts.errors import ConfigurationError, DependencyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_END = b"-----END PUBLIC KEY-----"


def signature(data: bytes, key: Path) -> bytes:
    """By the private key in the file `key`. Raises ConfigurationError for a file that holds none."""
    ed25519, serialization = _cryptography()
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except OSError as problem:
        raise _no_key(key, "private", f"cannot be read ({problem.strerror})") from problem
    except (ValueError, TypeError) as problem:  # TypeError where a password would be needed
        raise _no_key(key, "private", "holds something else") from problem
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise _no_key(key, "private", f"holds an {type(private).__name__}")
    signed: bytes = private.sign(data)
    return signed


def is_signed(data: bytes, signed: bytes, trusted: Path) -> bool:
    """Whether `signed` is the signature of `data` by one of the public keys in the file `trusted`.

    Raises ConfigurationError for a file that holds none, or another kind of key.
    """
    keys = _public_keys(trusted)  # says so where there is no cryptography
    from cryptography.exceptions import InvalidSignature

    for key in keys:
        try:
            key.verify(signed, data)
        except InvalidSignature:
            continue
        return True
    return False


def _public_keys(trusted: Path) -> "list[Ed25519PublicKey]":
    ed25519, serialization = _cryptography()
    try:
        parts = [part + _END for part in trusted.read_bytes().split(_END) if part.strip()]
        keys = [serialization.load_pem_public_key(part) for part in parts]
    except OSError as problem:
        raise _no_key(trusted, "public", f"cannot be read ({problem.strerror})") from problem
    except ValueError as problem:
        raise _no_key(trusted, "public", "holds something else") from problem
    others = [type(key).__name__ for key in keys if not isinstance(key, ed25519.Ed25519PublicKey)]
    if others or not keys:
        raise _no_key(trusted, "public", f"holds {', '.join(others) or 'nothing'}")
    return keys


def _no_key(path: Path, kind: str, reason: str) -> ConfigurationError:
    setting, belongs, how = {
        "private": (
            "LARDER_SIGNING_KEY",
            "private key, without a password,",
            "genpkey -algorithm ed25519 -out key.pem",
        ),
        "public": ("LARDER_TRUSTED_KEYS", "public key", "pkey -in key.pem -pubout -out trusted.pem"),
    }[kind]
    return ConfigurationError(
        f"{setting} names {path}, which {reason} where the PEM of an Ed25519 {belongs} belongs. Make one with "
        f"`openssl {how}`."
    )


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError:
        raise DependencyError(
            "Signatures of bundles need the package cryptography. Install it, or leave LARDER_SIGNING_KEY and "
            "LARDER_TRUSTED_KEYS unset."
        ) from None
    return ed25519, serialization
