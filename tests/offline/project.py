"""A Feast project of its own in a temporary folder, for tests that go through a real FeatureStore."""

from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake
from feast import FeatureStore
from feast.repo_config import RepoConfig


def feature_store(folder: Path, **offline_store: Any) -> FeatureStore:
    """An empty project below `folder`, its lake in `<folder>/lake`; naive request times are not localized."""
    folder.mkdir(parents=True, exist_ok=True)
    return FeatureStore(
        config=RepoConfig(
            project="shop",
            provider="local",
            repo_path=folder,
            registry={"registry_type": "sql", "path": f"sqlite:///{folder / 'registry.db'}"},
            offline_store={"type": "larder.offline.DeltaOfflineStore", "lake": "lake"} | offline_store,
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            entity_key_serialization_version=3,
            coerce_tz_aware=False,
        )
    )


def write_table(folder: Path, path: str, rows: pa.Table, **options: Any) -> str:
    """Write `rows` as the Delta table `<folder>/lake/<path>` and return its place."""
    place = str(folder / "lake" / path)
    write_deltalake(place, rows, **options)
    return place
