"""The latest row of every entity, out of batches."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from larder.offline.history import History
from larder.offline.tables.kinds import INSTANT
from larder.push.latest import latest_of

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("key", [pa.string(), pa.large_string(), pa.int32(), pa.int64(), pa.binary(), INSTANT], ids=str)
def test_keys_of_every_type_meet_from_batch_to_batch(key: pa.DataType):
    history = History("", ("key",), ("score",), "event_timestamp", None)
    names = pa.array([0, 1], pa.int64()).cast(key if not pa.types.is_binary(key) else pa.string()).cast(key)

    def batch(hour: int, score: float) -> pa.Table:
        times = pa.array([NOON.replace(hour=hour)] * 2, INSTANT)
        return pa.table({"key": names, "event_timestamp": times, "score": [score] * 2})

    latest = latest_of([batch(9, 1.0), batch(11, 3.0), batch(10, 2.0)], history, NOON)

    assert latest is not None
    assert latest.schema.field("key").type == key
    assert (latest.num_rows, latest["score"].to_pylist()) == (2, [3.0, 3.0])
