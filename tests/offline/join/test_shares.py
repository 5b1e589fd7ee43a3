"""Files dealt out to tasks, and read there."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from larder.offline.history import History
from larder.offline.join.shares import file_shares, share_batches

REGIONS = ["north west", "100%20", "é/ü", "x=y:z", None]


def test_files_in_partitions_of_any_name_are_dealt_out_and_read(tmp_path: Path):
    noon = pa.scalar(datetime(2024, 5, 1, 12, tzinfo=UTC), pa.timestamp("us", tz="UTC"))
    sales = {"shop": range(5), "sold_at": [noon] * 5, "region": REGIONS}
    write_deltalake(str(tmp_path / "sales"), pa.table(sales), partition_by=["region"])
    history = History(str(tmp_path / "sales"), ("shop",), (), "sold_at", version=0)

    shares = file_shares(history, [], 2)

    assert shares is not None
    read = [row for share in shares for batch in share_batches(history, ["shop", "region"], share)
            for row in batch.to_pylist()]  # fmt: skip
    assert sorted((row["shop"], row["region"]) for row in read) == list(enumerate(REGIONS))
