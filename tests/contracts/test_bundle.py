from pathlib import Path

import msgspec
import pytest

from larder.contracts.bundle import (
    Manifest,
    bundle_plan,
    champion_bundle,
    read_files,
    read_manifest,
    set_champion,
    write_bundle,
)
from larder.contracts.errors import InvalidDataError, MissingTableError
from larder.contracts.plan import Feature, FeaturePlan, ViewPlan

PLAN = FeaturePlan(
    project="shop",
    service="basket",
    views=(ViewPlan("buyers", (Feature("buyer", "string"),), ("buyer",), (Feature("spent", "float64"),), None),),
    on_demand=(),
    request_fields=(),
    columns=(),
)
MANIFEST = Manifest(
    model="basket",
    version="1",
    run_id="r",
    label="is_returned",
    runtime="onnx",
    numbers=("spent",),
    strings=(),
    bounds={},
    threshold=0.5,
    parity=0.0,
    created_at="2024-01-01T00:00:00Z",
)


def test_a_bundle_comes_back_as_it_was_written(tmp_path: Path):
    bundle = write_bundle(tmp_path, MANIFEST, PLAN, b"graph")

    files = read_files(bundle, read_manifest(bundle))

    assert (files["model.onnx"], bundle_plan(files)) == (b"graph", PLAN)


def test_the_champion_is_the_version_set_last(tmp_path: Path):
    write_bundle(tmp_path, MANIFEST, PLAN, b"graph")
    second = write_bundle(tmp_path, msgspec.structs.replace(MANIFEST, version="2"), PLAN, b"other")

    set_champion(tmp_path, "basket", "1")
    set_champion(tmp_path, "basket", "2")

    assert champion_bundle(tmp_path, "basket") == second


def test_what_a_killed_promotion_left_goes_with_the_next_bundle(tmp_path: Path):
    left = tmp_path / "basket" / ".partial-killed"
    left.mkdir(parents=True)
    (left / "model.onnx").write_bytes(b"half a graph")

    bundle = write_bundle(tmp_path, MANIFEST, PLAN, b"graph")

    assert list(bundle.parent.iterdir()) == [bundle]


def test_a_version_is_never_overwritten_with_other_content(tmp_path: Path):
    write_bundle(tmp_path, MANIFEST, PLAN, b"graph")

    write_bundle(tmp_path, MANIFEST, PLAN, b"graph")
    with pytest.raises(InvalidDataError, match="never overwritten"):
        write_bundle(tmp_path, MANIFEST, PLAN, b"other")


@pytest.mark.parametrize("name", ["model.onnx", "plan.json"])
@pytest.mark.parametrize("damage", [b"", b"x"])
def test_a_changed_file_is_refused(tmp_path: Path, name: str, damage: bytes):
    bundle = write_bundle(tmp_path, MANIFEST, PLAN, b"graph")
    (bundle / name).write_bytes(damage)

    with pytest.raises(InvalidDataError, match=name):
        read_files(bundle, read_manifest(bundle))


def test_a_manifest_that_names_other_files_is_refused(tmp_path: Path):
    bundle = write_bundle(tmp_path, MANIFEST, PLAN, b"graph")
    manifest = read_manifest(bundle)

    with pytest.raises(InvalidDataError, match="belong"):
        read_files(bundle, msgspec.structs.replace(manifest, hashes={"../evil": "0"}))


def test_without_a_promotion_there_is_no_champion(tmp_path: Path):
    with pytest.raises(MissingTableError, match="larder promote"):
        champion_bundle(tmp_path, "basket")


def test_a_view_of_another_type_or_order_has_another_fingerprint():
    view = PLAN.views[0]
    other_type = msgspec.structs.replace(view, features=(Feature("spent", "int64"),))
    two = msgspec.structs.replace(view, features=(Feature("a", "int64"), Feature("b", "int64")))
    swapped = msgspec.structs.replace(view, features=(Feature("b", "int64"), Feature("a", "int64")))

    assert len({item.fingerprint for item in (view, other_type, two, swapped)}) == 4
