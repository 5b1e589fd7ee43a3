from pathlib import Path

import msgspec
import pytest

from larder.contracts.bundle import MANIFEST, SIGNATURE, read_manifest, sign_bundle, write_bundle
from larder.contracts.errors import InvalidDataError
from tests.contracts.test_bundle import MANIFEST as DESCRIBED
from tests.contracts.test_bundle import PLAN
from tests.keys import key_pair


def test_a_signed_bundle_is_read_by_who_trusts_its_key_and_by_who_asks_for_none(tmp_path: Path):
    private, public = key_pair(tmp_path)
    bundle = write_bundle(tmp_path, DESCRIBED, PLAN, b"graph", signing_key=private)

    assert read_manifest(bundle, trusted_keys=public) == read_manifest(bundle)
    with pytest.raises(InvalidDataError, match="was not signed by a key in"):
        read_manifest(bundle, trusted_keys=key_pair(tmp_path, "other")[1])


def test_an_unsigned_bundle_is_refused_where_signatures_count(tmp_path: Path):
    _, public = key_pair(tmp_path)
    bundle = write_bundle(tmp_path, DESCRIBED, PLAN, b"graph")

    assert not (bundle / SIGNATURE).exists()
    with pytest.raises(InvalidDataError, match=r"1 is not signed; refused.*`larder models sign 1`"):
        read_manifest(bundle, trusted_keys=public)


def test_a_manifest_rewritten_with_other_hashes_is_refused(tmp_path: Path):
    private, public = key_pair(tmp_path)
    bundle = write_bundle(tmp_path, DESCRIBED, PLAN, b"graph", signing_key=private)
    changed = msgspec.structs.replace(read_manifest(bundle), hashes={"model.onnx": "0", "plan.json": "0"})
    (bundle / MANIFEST).write_bytes(msgspec.json.encode(changed))

    with pytest.raises(InvalidDataError, match="or was changed since"):
        read_manifest(bundle, trusted_keys=public)


def test_a_bundle_that_is_there_can_be_signed_and_signed_anew(tmp_path: Path):
    bundle = write_bundle(tmp_path, DESCRIBED, PLAN, b"graph")

    for private, public in (key_pair(tmp_path), key_pair(tmp_path, "new")):
        sign_bundle(bundle, private)
        assert read_manifest(bundle, trusted_keys=public).version == "1"


def test_a_damaged_bundle_is_not_signed(tmp_path: Path):
    bundle = write_bundle(tmp_path, DESCRIBED, PLAN, b"graph")
    (bundle / "model.onnx").write_bytes(b"evil")

    with pytest.raises(InvalidDataError, match=r"model\.onnx"):
        sign_bundle(bundle, key_pair(tmp_path)[0])
    assert not (bundle / SIGNATURE).exists()
