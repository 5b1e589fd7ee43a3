import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from larder.compute.materialize import apply_definitions
from larder.contracts.settings import load_settings
from training.data.lineage import commit, data_hash

SECOND_USE_CASE = Path(__file__).parents[2] / "second_use_case"
PRINT_REGISTRY_HASH = """
from larder.contracts.settings import load_settings
from larder.registry import feature_store
from training.data.lineage import registry_hash
print(registry_hash(feature_store(load_settings()), "returns"))
"""

ROWS = pa.table({"n": pa.array([1.0, None, 3.0]), "s": ["a", None, ""], "b": [True, None, False]})


def test_the_hash_does_not_depend_on_chunks_slices_or_what_lies_under_a_null():
    chunked = pa.concat_tables([ROWS.slice(0, 1), ROWS.slice(1)])
    sliced = pa.concat_tables([ROWS.slice(2), ROWS]).slice(1)
    masked = ROWS.set_column(0, "n", pa.array([1.0, 77.0, 3.0], mask=[False, True, False]))

    assert {data_hash(rows) for rows in (chunked, sliced, masked.combine_chunks())} == {data_hash(ROWS)}


@pytest.mark.parametrize(
    "other",
    [
        ROWS.set_column(0, "n", pa.array([1.0, None, 3.5])),
        ROWS.set_column(0, "n", pa.array([1.0, 0.0, 3.0])),
        ROWS.set_column(0, "n", pa.array([1.0, None, 3.0], pa.float32())),
        ROWS.set_column(1, "s", pa.array(["a", "", None])),
        ROWS.set_column(1, "s", pa.array(["", None, "a"])),
        ROWS.rename_columns(["n", "t", "b"]),
        ROWS.take([2, 1, 0]),
        ROWS.select(["s", "n", "b"]),
    ],
    ids=["value", "null or zero", "type", "null or empty", "moved text", "name", "row order", "column order"],
)
def test_the_hash_changes_with(other):
    assert data_hash(other) != data_hash(ROWS)


def test_the_commit_says_when_files_differ_from_it(tmp_path):
    assert commit(tmp_path) is None

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "one")
    clean = commit(tmp_path)
    (tmp_path / "file").write_text("two")

    assert clean is not None and len(clean) == 40
    assert commit(tmp_path) == f"{clean}-dirty"


@pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
def test_processes_agree_on_the_hash_of_definitions_with_windows_and_on_demand_views(tmp_path, monkeypatch):
    monkeypatch.setenv("LARDER_HOME", str(SECOND_USE_CASE))
    monkeypatch.setenv("LARDER_STATE", str(tmp_path))
    monkeypatch.setenv("LARDER_REDIS", "redis://127.0.0.1:1/0")
    apply_definitions(load_settings())

    def printed(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-W", "ignore", "-c", PRINT_REGISTRY_HASH]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    assert printed("1") == printed("2") != ""
