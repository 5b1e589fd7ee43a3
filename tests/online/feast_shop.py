"""A Feast project for the tests of planning and of the store: users, shops, and a ratio at request time."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RequestSource
from feast.infra.offline_stores.dask import DaskOfflineStoreConfig
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.repo_config import RegistryConfig, RepoConfig
from feast.types import Float64, Int64, String, UnixTimestamp
from feast.value_type import ValueType
from redis.connection import parse_url

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
request = RequestSource(name="basket", schema=[Field(name="basket_price", dtype=Float64)])


def source(name: str) -> FileSource:
    return FileSource(name=name, path=f"{name}.parquet", timestamp_field="event_timestamp")


def view(name: str, entities: list[Entity], *fields: Field, ttl: timedelta | None = None) -> FeatureView:
    keys = [Field(name=e.join_key, dtype=String if e is user else Int64) for e in entities]
    return FeatureView(name=name, entities=entities, ttl=ttl, schema=[*keys, *fields], source=source(f"{name}_rows"))


visits = view("visits", [user], Field(name="score", dtype=Float64), ttl=timedelta(minutes=10))
loyalty = view(
    "loyalty",
    [user, shop],
    Field(name="points", dtype=Int64),
    Field(name="since", dtype=UnixTimestamp),
    Field(name="level", dtype=String),
)
overall = view("overall", [], Field(name="mean_price", dtype=Float64))


@on_demand_feature_view(sources=[request, visits], mode="python", schema=[Field(name="price_per_score", dtype=Float64)])
def relative(inputs: dict[str, Any]) -> dict[str, Any]:
    import math

    pairs = zip(inputs["basket_price"], inputs["score"], strict=True)
    return {"price_per_score": [None if score is None else math.fabs(price / score) for price, score in pairs]}


offers = FeatureService(name="offers", features=[relative, loyalty[["level", "points"]], visits, overall])


def applied_store(
    folder: Path, connection_string: str, *objects: Any, project: str = "shop", **online_store: Any
) -> FeatureStore:
    """A Feast store over the Redis at `connection_string`, with `objects` or else everything applied.

    `online_store` has further settings of our store.
    """
    store = project_store(
        folder,
        project,
        # These tests prove answers, not times, and may share their machine.
        {
            "type": "larder.online.RedisOnlineStore",
            "connection_string": connection_string,
            "read_timeout_seconds": 5.0,
        }
        | online_store,
    )
    store.apply(list(objects) or [user, shop, visits, loyalty, overall, relative, offers])
    return store


def feasts_store(folder: Path, connection_string: str, *objects: Any, project: str = "shop") -> FeatureStore:
    """The same project on Feast's own Redis store: what is right here is wrong there, or is to be migrated."""
    options = parse_url(connection_string)
    if "path" in options:  # Feast wants a host and a port before it, and uses neither
        place = f"localhost:0,unix_socket_path={options['path']}"
    else:
        place = f"{options['host']}:{options['port']}"
    store = project_store(folder, project, {"type": "redis", "connection_string": place})
    store.apply(list(objects) or [user, shop, visits, loyalty, overall, relative, offers])
    return store


def project_store(folder: Path, project: str, online_store: dict[str, Any]) -> FeatureStore:
    """A project with an empty registry; its sources are never read."""
    folder.mkdir(exist_ok=True)
    return FeatureStore(
        config=RepoConfig(
            project=project,
            provider="local",
            registry=RegistryConfig(path=str(folder / f"{project}.db")),
            online_store=online_store,
            offline_store=DaskOfflineStoreConfig(),
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )


def write(store: FeatureStore, view: str, at: datetime, **values: Any) -> None:
    """One row through Feast, as a user would write it."""
    store.write_to_online_store(view, pd.DataFrame([values | {"event_timestamp": at}]))


def answers(store: FeatureStore, feature: str, *rows: dict[str, Any]) -> list[tuple[Any, str]]:
    """Value and status of one feature for each row."""
    name = feature.partition(":")[2]
    response = store.get_online_features([feature], list(rows))
    vector = response.proto.results[list(response.proto.metadata.feature_names.val).index(name)]
    return list(zip(response.to_dict()[name], map(FieldStatus.Name, vector.statuses), strict=True))
