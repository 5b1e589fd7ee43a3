"""DeltaSource as the registry keeps it and as Feast infers a schema from it."""

from pathlib import Path

import pytest
from feast import FeatureStore

from larder.contracts.errors import MissingColumnsError, MissingTableError
from larder.offline import DeltaSource
from tests.offline.project import feature_store


def test_the_source_comes_back_from_the_registry_equal(store: FeatureStore):
    view = store.get_feature_view("sales")

    assert view.batch_source == store.get_data_source("sales_source")
    assert view.batch_source.path == "silver/sales"
    assert view.batch_source.tags == {"grain": "sale"}


def test_a_missing_table_is_named_with_the_remedy(tmp_path: Path):
    source = DeltaSource(path="silver/nothing", timestamp_field="at")
    config = feature_store(tmp_path).config

    source.validate(config)
    with pytest.raises(MissingTableError, match=r"silver/nothing.*larder ingest"):
        list(source.get_table_column_names_and_types(config))


def test_a_source_that_names_a_missing_column_is_refused_at_apply(folder: Path):
    source = DeltaSource(path="silver/sales", timestamp_field="sold")

    with pytest.raises(MissingColumnsError, match=r"'sold'.*sold_at"):
        source.validate(feature_store(folder).config)
