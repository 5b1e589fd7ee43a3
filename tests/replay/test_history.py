"""Which requests a replay answers, when it says that there are none, and what features others have."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from larder.contracts.errors import InvalidDataError
from larder.contracts.tables import EVENT_TIMESTAMP, Lake
from replay.history import require_requests, retrieval
from training.data.training_set import Retrieved


def march(day: int) -> datetime:
    return datetime(2024, 3, day, tzinfo=UTC)


def test_a_time_in_which_nobody_asked_is_refused_with_the_time_there_is(tmp_path: Path):
    lake = Lake(str(tmp_path))
    asked = pa.array([march(5), march(9)], pa.timestamp("us", "UTC"))
    write_deltalake(lake.labels("repairs"), pa.table({EVENT_TIMESTAMP: asked}))

    require_requests(lake, "repairs", march(4), march(5))
    with pytest.raises(InvalidDataError, match="between 2024-03-05 00:00 and 2024-03-09 00:00 UTC"):
        require_requests(lake, "repairs", march(9), march(20))


def test_a_label_table_without_rows_is_called_empty(tmp_path: Path):
    lake = Lake(str(tmp_path))
    write_deltalake(lake.labels("repairs"), pa.table({EVENT_TIMESTAMP: pa.array([], pa.timestamp("us", "UTC"))}))

    with pytest.raises(InvalidDataError, match="it is empty"):
        require_requests(lake, "repairs", march(1), march(20))


def test_a_label_whose_request_was_corrected_later_has_the_features_of_what_it_said_then():
    asked: list[int] = []

    def retrieve(requests: pa.Table) -> Retrieved:
        asked.append(requests.num_rows)
        return Retrieved(pa.table({"age": [len(name) for name in requests["buyer"].to_pylist()]}), {})

    found = retrieval(retrieve, _requests("Ann", "Lars", "Ann"))

    rows = found.rows(_requests("Matthias", "Lars", "Jo", "Ann")).features

    assert rows["age"].to_pylist() == [8, 4, 2, 3]
    assert asked == [2, 2]


def _requests(*buyers: str) -> pa.Table:
    at = pa.array([march(5)] * len(buyers), pa.timestamp("us", "UTC"))
    return pa.table({"buyer": buyers, EVENT_TIMESTAMP: at})
