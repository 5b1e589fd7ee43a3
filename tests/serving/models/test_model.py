import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import joblib
import msgspec
import pytest

from larder.contracts.bundle import MANIFEST, Manifest, write_bundle
from larder.contracts.errors import InvalidDataError, LarderError, SchemaMismatchError
from larder.contracts.plan import Column, FeaturePlan
from serving.models.model import load_model
from tests.keys import key_pair

ROW = [30.0, 40, "east", 50.0, 12, 20.0]
"""In the plan's order, which is not the order of the model's inputs."""


class Evil:
    """Unpickling it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> Any:
        return (Path.touch, (self._trace,))


@pytest.fixture
def bundle(tmp_path: Path, manifest: Manifest, plan: FeaturePlan, graph: bytes) -> Path:
    return write_bundle(tmp_path, manifest, plan, graph)


def test_a_bundle_scores_like_scikit_learn(bundle: Path, expected: Callable[..., float]):
    assert load_model(bundle).scores([ROW]).predicted == pytest.approx(
        [expected([30, 40, 50, 12, 20], "east")], abs=1e-5
    )


def test_a_null_is_scored_as_a_null_and_not_as_zero(bundle: Path, expected: Callable[..., float]):
    nan = float("nan")
    row = [30.0, 40, None, 50.0, None, None]

    assert load_model(bundle).scores([row]).predicted == pytest.approx([expected([30, 40, 50, nan, nan], "")], abs=1e-5)


def test_a_bundle_with_scikit_learn_inside_scores_as_well(
    tmp_path: Path, manifest: Manifest, plan: FeaturePlan, pipeline: Any, expected: Callable[..., float]
):
    joblib.dump(pipeline, tmp_path / "model")
    sklearn = msgspec.structs.replace(manifest, runtime="sklearn")
    bundle = write_bundle(tmp_path, sklearn, plan, (tmp_path / "model").read_bytes())

    assert load_model(bundle).scores([ROW]).predicted == pytest.approx(
        [expected([30, 40, 50, 12, 20], "east")], abs=1e-9
    )


def test_values_outside_the_range_of_training_are_named(bundle: Path):
    rows = [ROW, [30.0, 40, "east", 17.0, 12, 1e308], [None] * 6]

    assert load_model(bundle).scores(rows).out_of_bounds == [[], ["age_years", "amount"], []]


@pytest.mark.parametrize("file", ["model.onnx", "plan.json"])
def test_a_flipped_bit_is_refused(bundle: Path, file: str):
    data = bytearray((bundle / file).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / file).write_bytes(data)

    with pytest.raises(InvalidDataError, match=file):
        load_model(bundle)


@pytest.mark.parametrize("file", ["model.onnx", "plan.json", MANIFEST])
def test_a_truncated_or_missing_file_is_refused(bundle: Path, file: str):
    (bundle / file).write_bytes((bundle / file).read_bytes()[:-20])
    with pytest.raises(LarderError):
        load_model(bundle)
    (bundle / file).unlink()
    with pytest.raises(LarderError):
        load_model(bundle)


def test_a_swapped_model_is_refused_before_it_is_unpickled(tmp_path: Path, manifest: Manifest, plan: FeaturePlan):
    sklearn = msgspec.structs.replace(manifest, runtime="sklearn")
    bundle = write_bundle(tmp_path, sklearn, plan, b"the real model")
    (bundle / "model.joblib").write_bytes(pickle.dumps(Evil(tmp_path / "trace")))

    with pytest.raises(InvalidDataError, match=r"model\.joblib"):
        load_model(bundle)

    assert not (tmp_path / "trace").exists()


def test_a_swapped_model_with_a_manifest_to_match_is_refused_unread_where_signatures_count(
    tmp_path: Path, manifest: Manifest, plan: FeaturePlan
):
    private, public = key_pair(tmp_path)
    sklearn = msgspec.structs.replace(manifest, runtime="sklearn")
    bundle = write_bundle(tmp_path / "real", sklearn, plan, b"the real model", signing_key=private)
    evil = write_bundle(tmp_path / "evil", sklearn, plan, pickle.dumps(Evil(tmp_path / "trace")))
    for file in evil.iterdir():
        (bundle / file.name).write_bytes(file.read_bytes())

    with pytest.raises(InvalidDataError, match="was not signed by a key in"):
        load_model(bundle, trusted_keys=public)
    assert not (tmp_path / "trace").exists()

    with suppress(Exception):
        load_model(bundle)
    assert (tmp_path / "trace").exists()  # so the test would have seen it


def test_a_bundle_of_another_version_in_this_ones_folder_is_refused(bundle: Path):
    bundle.rename(bundle.with_name("2"))

    with pytest.raises(InvalidDataError, match="version '1'"):
        load_model(bundle.with_name("2"))


def test_a_model_whose_inputs_the_plan_does_not_give_is_refused(
    tmp_path: Path, manifest: Manifest, plan: FeaturePlan, graph: bytes
):
    columns = (*plan.columns[:-1], Column("amount", "basket", "amount", "string"))
    bundle = write_bundle(tmp_path, manifest, msgspec.structs.replace(plan, columns=columns), graph)

    with pytest.raises(SchemaMismatchError, match="amount \\(string\\)"):
        load_model(bundle)


def test_a_model_that_cannot_score_is_refused_at_load(
    tmp_path: Path, manifest: Manifest, plan: FeaturePlan, graph: bytes
):
    fewer = msgspec.structs.replace(manifest, numbers=manifest.numbers[:-1])
    bundle = write_bundle(tmp_path, fewer, plan, graph)

    with pytest.raises(SchemaMismatchError, match="cannot score"):
        load_model(bundle)


def test_what_is_no_onnx_graph_is_refused_at_load(tmp_path: Path, manifest: Manifest, plan: FeaturePlan):
    with pytest.raises(InvalidDataError, match="ONNX"):
        load_model(write_bundle(tmp_path, manifest, plan, b"no graph"))
