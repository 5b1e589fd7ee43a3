"""Columns that only the names of folders tell: what they are, their view says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureView, Field, FileSource
from feast.types import Float64, String
from feast.value_type import ValueType

from larder.contracts.errors import InvalidDataError
from larder.offline.history import history_of
from larder.offline.join.shares import file_sizes, share_batches
from larder.offline.tables.parquet import ParquetFiles
from tests.offline.project import feature_store
from tests.offline.shop import at

FOLDERS = {"01": 1.0, "1": 2.0, "20": 3.0}


def written(folder: Path, column: str, values: Mapping[str, float]) -> Path:
    """One folder per value of a column, with a row in it: the instant 10:00 and `load`."""
    for name, load in values.items():
        place = folder / f"{column}={name}"
        place.mkdir(parents=True)
        pq.write_table(pa.table({"ts": [at("10:00")], "load": [load]}), place / "part.parquet")
    return folder


def joined(folder: Path, source: Path, key: ValueType, asked: list[Any], *fields: Field) -> dict[str, list[Any]]:
    """The loads at 11:00, through Feast."""
    region = Entity(name="region", join_keys=["region"], value_type=key)
    view = FeatureView(
        name="loads",
        entities=[region],
        source=FileSource(name="files", path=str(source), timestamp_field="ts"),
        schema=[Field(name="load", dtype=Float64), *fields],
    )
    store = feature_store(folder)
    store.apply([region, view])
    requests = pd.DataFrame({"region": asked, "event_timestamp": [at("11:00")] * len(asked)})
    names = [f"loads:{field.name}" for field in view.features]
    found = store.get_historical_features(requests, names).to_arrow().to_pydict()
    return {field.name: found[field.name] for field in view.features}


def test_a_text_key_in_the_names_of_folders_keeps_its_zeros(tmp_path: Path):
    source = written(tmp_path / "files", "region", FOLDERS)

    found = joined(tmp_path, source, ValueType.STRING, ["01", "1", "20", "02"])

    assert found["load"] == [1.0, 2.0, 3.0, None]


def test_a_number_in_the_names_of_folders_is_one_with_zeros_too(tmp_path: Path):
    source = written(tmp_path / "files", "region", {"01": 1.0, "20": 3.0})

    assert joined(tmp_path, source, ValueType.INT64, [1, 20])["load"] == [1.0, 3.0]


def test_a_feature_in_the_names_of_folders_has_its_declared_type(tmp_path: Path):
    source = tmp_path / "files"
    for number, version in enumerate(["007", "8"]):
        written(source / f"region={number}", "version", {version: 1.0})

    found = joined(tmp_path, source, ValueType.INT64, [0, 1], Field(name="version", dtype=String))

    assert found["version"] == ["007", "8"]


def test_tasks_read_the_same_as_one_process(tmp_path: Path):
    region = Entity(name="region", join_keys=["region"], value_type=ValueType.STRING)
    source = FileSource(name="files", path=str(written(tmp_path / "files", "region", FOLDERS)), timestamp_field="ts")
    store = feature_store(tmp_path)
    store.apply([region, FeatureView(name="loads", entities=[region], source=source)])
    history = history_of(store.get_feature_view("loads"), store.config)

    rows = pa.Table.from_batches(share_batches(history, ["region", "load"], list(file_sizes(history) or {})))

    assert dict(zip(*rows.to_pydict().values(), strict=True)) == FOLDERS


def test_a_folder_whose_name_is_no_value_of_the_declared_type_is_named(tmp_path: Path):
    source = written(tmp_path / "files", "region", {"01": 1.0, "north": 2.0})

    with pytest.raises(InvalidDataError, match="north"):
        ParquetFiles(str(source), {}, {"region": pa.int64()})


def test_without_a_declared_type_the_look_of_the_names_decides(tmp_path: Path):
    source = written(tmp_path / "files", "region", {"1": 1.0, "20": 3.0})

    assert ParquetFiles(str(source), {}).schema.field("region").type == pa.int32()
