"""What a proof rests on."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from feast import Entity, FeatureView, Field
from feast.types import Float64, String
from feast.value_type import ValueType

from larder.contracts.errors import InvalidDataError
from larder.offline import DeltaSource
from larder.verify.scope import everything
from larder.verify.views import verified_views
from tests.offline.project import feature_store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_a_table_with_a_changed_value_proves_nothing(spark: "SparkSession", tmp_path: Path):
    store, place = feature_store(tmp_path), tmp_path / "lake" / "sales"
    shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
    source = DeltaSource(path="sales", timestamp_field="sold_at")
    schema = [Field(name="shop", dtype=String), Field(name="price", dtype=Float64)]
    store.apply([shop, FeatureView(name="sales", entities=[shop], source=source, schema=schema)])
    rows = spark.range(100).selectExpr("'a' AS shop", "current_timestamp() AS sold_at", "rand(1) AS price")
    rows.repartition(1).write.format("delta").save(str(place))
    file = next(place.glob("*.parquet"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    with pytest.raises(InvalidDataError, match=f"{file.name} of version 0 of {place} does not fit its checksum"):
        everything(redis.Redis(port=1), clock=lambda: datetime(2020, 1, 1, tzinfo=UTC))(verified_views(store)[0])
