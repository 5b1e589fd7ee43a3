from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from larder.contracts.plan import Column, Feature, FeaturePlan, ViewPlan
from larder.logged_types import keeps, unkept

UTC = pa.timestamp("us", "UTC")


@pytest.mark.parametrize(
    ("stored", "found", "is_kept"),
    [
        (pa.int64(), pa.int64(), True),
        (pa.string(), pa.large_string(), True),
        (pa.float32(), pa.float64(), True),
        (pa.float64(), pa.int64(), True),
        (pa.int32(), pa.int64(), True),
        (pa.int64(), pa.float64(), False),
        (pa.float64(), pa.string(), False),
        (pa.string(), pa.float64(), False),
        (pa.int64(), pa.bool_(), False),
        (pa.int64(), UTC, False),
    ],
)
def test_a_column_keeps_values_of_its_kind(stored: pa.DataType, found: pa.DataType, is_kept: bool) -> None:
    assert keeps(stored, found) is is_kept


def test_what_the_log_could_not_keep_is_named_with_both_types(tmp_path: Path) -> None:
    key, score, town = Feature("user", "int64"), Feature("score", "float64"), Feature("town", "string")
    view = ViewPlan("visits", (key,), ("user",), (score, town), None)
    columns = tuple(Column(item.name, "visits", item.name, item.dtype) for item in view.features)
    plan = FeaturePlan("shop", "all", (view,), (), (), columns)
    place = str(tmp_path / "log")

    assert unkept(place, plan) == []
    write_deltalake(place, pa.table({"features": [{"score": 1, "other": "x"}], "request": [{"user": "ann"}]}))

    assert unkept(place, plan) == ["features.score (int64, double)", "request.user (string, int64)"]
