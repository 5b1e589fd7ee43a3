"""Results that are kept, exported or larger than memory."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from feast import FeatureStore
from feast.data_format import DeltaFormat
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

from larder.contracts.errors import ConfigurationError
from larder.offline import SavedDatasetDeltaStorage
from tests.offline.shop import at, rows

pytestmark = pytest.mark.filterwarnings("ignore:(Saving|Retrieving) dataset.* is an experimental:RuntimeWarning")


def test_a_saved_dataset_is_a_delta_table(store: FeatureStore):
    job = store.get_historical_features(rows(("a", "10:30"), ("b", "10:30")), features=["sales:pieces"])

    saved = store.create_saved_dataset(job, name="kept", storage=SavedDatasetDeltaStorage(path="saved/kept"))

    assert sorted(saved.to_df()["pieces"]) == [1, 3]
    assert store.get_saved_dataset("kept").to_df().shape[0] == 2
    with pytest.raises(ConfigurationError, match="allow_overwrite"):
        job.persist(SavedDatasetDeltaStorage(path="saved/kept"))


@pytest.mark.parametrize("name", ["kept.parquet", "kept folder"])
def test_a_saved_dataset_is_kept_in_feasts_own_file_storage_and_replaced_whole(
    store: FeatureStore, folder: Path, name: str
):
    job = store.get_historical_features(rows(("a", "10:30"), ("b", "10:30")), features=["sales:pieces"])
    storage = SavedDatasetFileStorage(path=f"files/{name}")
    (folder / "files").mkdir(exist_ok=True)

    job.persist(storage)
    with pytest.raises(SavedDatasetLocationAlreadyExists, match="allow_overwrite"):
        job.persist(storage)
    job.persist(storage, allow_overwrite=True)

    assert pq.read_table(folder / "files" / name)["pieces"].to_pylist() == [1, 3]
    saved = store.create_saved_dataset(job, name="files", storage=storage, allow_overwrite=True)
    assert sorted(saved.to_df()["pieces"]) == [1, 3]


def test_a_saved_dataset_is_kept_as_feasts_delta_files(store: FeatureStore, folder: Path):
    job = store.get_historical_features(rows(("a", "10:30")), features=["sales:pieces"])
    storage = SavedDatasetFileStorage(path="files/delta", file_format=DeltaFormat())

    saved = store.create_saved_dataset(job, name="delta_files", storage=storage)

    assert DeltaTable(str(folder / "files" / "delta")).version() == 0
    assert saved.to_df()["pieces"].to_list() == [1]


def test_a_column_of_nulls_is_kept_as_text_and_instants_as_microseconds(store: FeatureStore, folder: Path):
    request = rows(("a", "10:30")).assign(note=None)
    request["event_timestamp"] = request["event_timestamp"].astype("datetime64[ns, Europe/Berlin]")
    job = store.get_historical_features(request, features=["sales:pieces"])

    job.persist(SavedDatasetDeltaStorage(path="saved/nulls"))

    kept = pa.table(DeltaTable(str(folder / "lake" / "saved" / "nulls")).scan(columns=["note", "event_timestamp"]))
    assert kept.to_pylist() == [{"note": None, "event_timestamp": at("10:30")}]


def test_batches_hold_the_rows_of_the_whole_in_their_order(store: FeatureStore):
    request = rows(*[("a", f"10:{minute:02}") for minute in range(0, 60, 7)], ("z", "10:30"), (None, "10:30"))
    job = store.get_historical_features(request, features=["sales:amount", "sales:last_seen_at"])

    batches = list(job.to_arrow_batches(rows_per_batch=4))

    assert [batch.num_rows for batch in batches] == [4, 4, 3]
    assert pa.concat_tables(batches) == job.to_arrow()


def test_a_result_without_rows_is_kept_with_its_columns(store: FeatureStore):
    job = store.get_historical_features(rows(("a", "10:30")).iloc[:0], features=["sales:amount"])

    job.persist(SavedDatasetDeltaStorage(path="saved/empty"))

    assert [batch.num_rows for batch in job.to_arrow_batches()] == [0]


def test_an_export_is_a_list_of_parquet_files_with_the_rows(store: FeatureStore):
    job = store.get_historical_features(rows(("a", "10:30"), ("b", "10:30")), features=["sales:pieces"])

    files = job.to_remote_storage()

    assert job.supports_remote_storage_export()
    assert pa.concat_tables(pq.read_table(file) for file in files)["pieces"].to_pylist() == [1, 3]
