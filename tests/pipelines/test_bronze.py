"""Which files bronze holds."""

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from larder.contracts.errors import MissingTableError
from pipelines.bronze import ingested_hashes


def test_each_content_hash_is_told_once_whatever_file_of_the_table_holds_it(tmp_path: Path):
    for hashes in (["one", "two", "two"], ["two", "three"]):
        write_deltalake(str(tmp_path), pa.table({"order": hashes, "content_hash": hashes}), mode="append")

    assert ingested_hashes(str(tmp_path)) == {"one", "two", "three"}
    assert ingested_hashes(str(tmp_path / "none")) == set()


def test_a_file_that_was_vacuumed_is_told_in_a_sentence(tmp_path: Path):
    write_deltalake(str(tmp_path), pa.table({"content_hash": ["one"]}))
    for path in DeltaTable(str(tmp_path)).file_uris():
        Path(path).unlink()

    with pytest.raises(MissingTableError, match="Restore"):
        ingested_hashes(str(tmp_path))
