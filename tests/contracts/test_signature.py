from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from larder.contracts.errors import ConfigurationError
from larder.contracts.signature import is_signed, signature
from tests.keys import key_pair


def test_what_was_signed_is_known_by_the_public_key_and_nothing_else_is(tmp_path: Path):
    private, public = key_pair(tmp_path)
    signed = signature(b"manifest", private)

    assert is_signed(b"manifest", signed, public)
    assert not is_signed(b"manifest!", signed, public)
    assert not is_signed(b"manifest", signed[:-1], public)
    assert not is_signed(b"manifest", b"", public)
    assert not is_signed(b"manifest", signed, key_pair(tmp_path, "other")[1])


def test_any_of_several_public_keys_will_do(tmp_path: Path):
    pairs = [key_pair(tmp_path, name) for name in ("old", "new")]
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(b"\n".join(public.read_bytes() for _, public in pairs) + b"\n\n")

    assert all(is_signed(b"manifest", signature(b"manifest", private), trusted) for private, _ in pairs)
    assert not is_signed(b"manifest", signature(b"manifest", key_pair(tmp_path)[0]), trusted)


@pytest.mark.parametrize("content", [None, b"", b"secret", "public", "ed448"])
def test_a_file_without_a_private_key_is_named_with_its_setting(tmp_path: Path, content: bytes | str | None):
    path = tmp_path / "signing.pem"
    if content == "public":
        content = key_pair(tmp_path)[1].read_bytes()
    if content == "ed448":
        content = Ed448PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"LARDER_SIGNING_KEY names .*signing.pem, .*`openssl genpkey"):
        signature(b"manifest", path)


@pytest.mark.parametrize("content", [None, b"", b"secret", "private", "ed448"])
def test_a_file_without_public_keys_is_named_with_its_setting(tmp_path: Path, content: bytes | str | None):
    path = tmp_path / "trusted.pem"
    if content == "private":
        content = key_pair(tmp_path)[0].read_bytes()
    if content == "ed448":
        public = Ed448PrivateKey.generate().public_key()
        content = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"LARDER_TRUSTED_KEYS names .*trusted.pem, .*`openssl pkey"):
        is_signed(b"manifest", bytes(64), path)
