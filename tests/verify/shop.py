"""A real Feast project with one view: a Delta table on one side, Redis on the other, materialization between them."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import redis
from deltalake import write_deltalake
from feast import Entity, FeatureStore, FeatureView, Field, OnDemandFeatureView
from feast.on_demand_feature_view import on_demand_feature_view
from feast.repo_config import RepoConfig
from feast.types import Float64, String
from feast.value_type import ValueType

from larder.contracts.settings import Settings, load_settings
from larder.offline import DeltaSource
from larder.online.contents import read_view
from larder.online.packed.keys import view_prefix
from larder.online.server.connection import client_address
from larder.verify import scope
from larder.verify.counts import ViewComparison
from larder.verify.repair import repaired
from larder.verify.views import VerifiedView, verified_views
from tests.online.rows import at, visits

CONFIGURATION = """
project: shop
provider: local
registry: {{registry_type: sql, path: "sqlite:///{folder}/registry.db"}}
offline_store: {{type: larder.offline.DeltaOfflineStore, lake: "{folder}/lake"}}
online_store: {{type: larder.online.RedisOnlineStore}}
entity_key_serialization_version: 3
"""

user = Entity(name="user", join_keys=["user"], value_type=ValueType.STRING)


def visits_view(**options: Any) -> FeatureView:
    source = DeltaSource(
        name="visit_rows",
        path="visits",
        timestamp_field="event_timestamp",
        created_timestamp_column="known_at",
        known_time_cutoff=True,
    )
    schema = [Field(name="user", dtype=String), Field(name="score", dtype=Float64)]
    return FeatureView(**{"name": "visits", "entities": [user], "source": source, "schema": schema} | options)


def stored_on_demand_view() -> OnDemandFeatureView:
    """`doubled`, twice the score, computed and stored when visits are written to Redis."""

    @on_demand_feature_view(
        sources=[visits_view()],
        entities=[user],
        schema=[Field(name="user", dtype=String), Field(name="double", dtype=Float64)],
        mode="python",
        write_to_online_store=True,
    )
    def doubled(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"double": [score and score * 2 for score in inputs["score"]]}

    return doubled


@dataclass(frozen=True)
class Shop:
    store: FeatureStore
    client: redis.Redis
    table: Path

    def append(self, *rows: tuple[Any, float, float, Any]) -> None:
        """Rows of user, event timestamp and known at in minutes after noon, score."""
        self.append_table(visits(*rows))

    def append_table(self, rows: pa.Table) -> None:
        write_deltalake(str(self.table), rows, mode="append", schema_mode="merge")

    def materialize(self, minutes: float) -> None:
        """`feast materialize-incremental` up to so many minutes after noon."""
        self.store.materialize_incremental(at(minutes))

    @property
    def view(self) -> VerifiedView:
        (view,) = verified_views(self.store)
        return view

    def compared(self, minutes: float, view: VerifiedView | None = None) -> ViewComparison:
        (found,) = scope.compared(
            [view or self.view], scope.everything(self.client, clock=lambda: at(minutes)), lambda *_: None
        )
        return found

    def causes(self, minutes: float, view: VerifiedView | None = None) -> dict[str, int]:
        """Different scores by cause."""
        (score, *_) = self.compared(minutes, view).features
        return dict(score.causes)

    def repaired(self, minutes: float) -> dict[str, int]:
        """Entities repaired, by cause."""
        parts = scope.everything(self.client, clock=lambda: at(minutes))(self.view)
        return dict(sum((repaired(self.client, part) for part in parts), Counter()))

    def key(self, name: str) -> bytes:
        return view_prefix("shop", "visits") + b"{s%d:%b}" % (len(name.encode()), name.encode())

    def online(self, *names: str) -> dict[str, Any]:
        rows = read_view(self.client, self.view.plan, "shop", pa.table({"user": pa.array(names, pa.string())}))
        return {row["user"]: row["score"] for row in rows.to_pylist() if row["event_timestamp"]}


def opened_shop(folder: Path, client: redis.Redis, view: FeatureView | None = None) -> Shop:
    store = FeatureStore(
        config=RepoConfig(
            project="shop",
            provider="local",
            repo_path=folder,
            registry={"registry_type": "sql", "path": f"sqlite:///{folder / 'registry.db'}"},
            offline_store={"type": "larder.offline.DeltaOfflineStore", "lake": "lake"},
            online_store={"type": "larder.online.RedisOnlineStore", "connection_string": client_address(client)},
            batch_engine={"type": "larder.compute.SparkFeatureEngine"},
            entity_key_serialization_version=3,
        )
    )
    store.apply([user, view or visits_view()])
    return Shop(store, client, folder / "lake" / "visits")


def shop_settings(shop: Shop, folder: Path) -> Settings:
    """Settings of a project over the shop, its clock one minute after noon; users a, b and c, all of them online."""
    repo = folder / "feature_repo"
    repo.mkdir()
    (repo / "feature_store.yaml").write_text(CONFIGURATION.format(folder=folder))
    shop.append(("a", 0, 0, 1.0), ("b", 0, 0, 1.0), ("c", 0, 0, 1.0))
    shop.materialize(1)
    return load_settings(
        {
            "LARDER_HOME": str(folder),
            "LARDER_LAKE": str(folder / "lake"),
            "LARDER_REDIS": client_address(shop.client),
            "LARDER_CLOCK": at(1).isoformat(),
        }
    )


def with_ttl(view: VerifiedView, ttl: timedelta) -> VerifiedView:
    """The view as a plan that was frozen when its ttl was another."""
    return replace(view, plan=msgspec.structs.replace(view.plan, ttl_seconds=ttl.total_seconds()))
