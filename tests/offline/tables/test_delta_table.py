"""Scans of Delta tables."""

from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from larder.offline.tables.delta_table import scanned


def test_an_empty_partition_value_is_null_as_spark_and_the_push_read_it(tmp_path: Path):
    rows = pa.table({"region": ["north", "", None], "number": [1, 2, 3], "note": ["", "", ""]})
    write_deltalake(str(tmp_path), rows, partition_by=["region"])
    table = DeltaTable(str(tmp_path))

    found = pa.Table.from_batches(scanned(table, ["number", "region", "note"])).to_pylist()

    regions = {row["number"]: row["region"] for row in found}
    assert regions == {1: "north", 2: None, 3: None}
    assert [row["note"] for row in found] == ["", "", ""]
    by_arrow = table.to_pyarrow_table().to_pylist()
    assert regions == {row["number"]: row["region"] for row in by_arrow}
