"""docs/offline_store.md, read as a program."""

import re
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from deltalake import DeltaTable

from larder.offline import DeltaOfflineStoreConfig
from tests.offline.project import feature_store, write_table
from tests.offline.shop import INSTANT

PAGE = Path(__file__).parent.parent.parent / "docs" / "offline_store.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.filterwarnings("ignore:(Saving|Retrieving) dataset.* is an experimental:RuntimeWarning")
def test_the_code_of_the_page_runs_from_top_to_bottom(tmp_path: Path):
    (section,) = blocks("yaml")
    names = {"driver_id": pa.int64(), "event_timestamp": INSTANT, "created": INSTANT}
    schema = pa.schema(names | {"rating": pa.float32(), "count": pa.int64()})
    write_table(tmp_path, "trips", schema.empty_table())
    namespace = {"store": feature_store(tmp_path, **yaml.safe_load(section)["offline_store"])}

    for block in blocks("python"):
        exec(block, namespace)

    assert DeltaTable(str(tmp_path / "lake" / "saved" / "may")).version() == 0
    assert all(Path(file).is_file() for file in namespace["files"])


def test_the_page_explains_every_setting_of_the_store():
    (table,) = re.findall(r"^\| Setting in .*?\n\n", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    explained = set(re.findall(r"^\| `(\w+)` \| ", table, re.MULTILINE))

    assert explained == set(DeltaOfflineStoreConfig.model_fields) - {"type"}
