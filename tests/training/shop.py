"""A shop that repairs pans: will a pan come back? Tiny, with a string, with nulls."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field
from feast.repo_config import RepoConfig
from feast.types import Float64, String
from feast.value_type import ValueType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from larder.contracts.objective import Gate, Kpi, Label, Objective, Slice
from larder.contracts.retraining import Release
from larder.contracts.settings import Settings
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT, Lake
from larder.offline import DeltaSource
from training.data.lineage import Lineage
from training.data.training_set import TrainingSet
from training.models.model import Columns
from training.promotion import Candidate, candidate

SPLIT = datetime(2024, 2, 1, tzinfo=UTC)
END = datetime(2024, 3, 1, tzinfo=UTC)
COLUMNS = Columns(numbers=("age_years", "weight_kg"), strings=("metal",))


def pipeline(numbers: Sequence[str], strings: Sequence[str]) -> Pipeline:
    count = len(numbers)
    encoder = ColumnTransformer(
        [
            ("numbers", "passthrough", list(range(count))),
            ("strings", OneHotEncoder(handle_unknown="ignore"), list(range(count, count + len(strings)))),
        ],
        sparse_threshold=0,
    )
    trees = HistGradientBoostingClassifier(max_iter=20, early_stopping=False, random_state=0)
    return Pipeline([("columns", encoder), ("trees", trees)])


def shop_objective(**changes: Any) -> Objective:
    declared: dict[str, Any] = {
        "question": "Will the pan come back?",
        "label": Label("repairs", "came_back", positive="the pan came back", matures_after=timedelta(0)),
        "kpi": Kpi("cost of repairs", "EUR per pan", false_alarm=1.0, miss=3.0, description="A check costs 1 EUR"),
        "split_at": SPLIT,
        "test_until": END,
        "pipeline": pipeline,
        "references": {"calendar": ("age_years",)},
        "slices": (Slice("shop", "shop", minimum_rows=50),),
        "gates": (
            Gate("roc_auc", ">=", 0.7),
            Gate("log_loss", "<=", 0.0, relative_to="calendar"),
            Gate("roc_auc", ">=", 0.6, slice="shop"),
            Gate("roc_auc", ">=", -0.01, relative_to="champion"),
        ),
    }
    return Objective(**(declared | changes))


def shop_rows(count: int, start: datetime, *, seed: int) -> pa.Table:
    """Old pans and copper pans come back; some weights and metals are unknown."""
    draw = np.random.default_rng(seed)
    age, weight = draw.uniform(0, 10, count), draw.uniform(0.5, 3, count)
    metal = draw.choice(["iron", "copper", "steel"], count)
    at = [start + timedelta(minutes=10 * i) for i in range(count)]
    return pa.table(
        {
            "pan": [f"p{i}" for i in range(count)],
            "shop": draw.choice(["north", "south"], count),
            EVENT_TIMESTAMP: pa.array(at, pa.timestamp("us", "UTC")),
            KNOWN_AT: pa.array([t + timedelta(hours=1) for t in at], pa.timestamp("us", "UTC")),
            "came_back": age / 10 + (metal == "copper") + draw.normal(0, 0.3, count) > 0.9,
            "age_years": pa.array(age, pa.float32()),
            "weight_kg": pa.array(weight, pa.float32(), mask=draw.random(count) < 0.2),
            "metal": pa.array(metal, pa.large_string(), mask=draw.random(count) < 0.1),
        }
    )


def shop_data(**columns: Any) -> TrainingSet:
    lineage = Lineage("repairs", {"labels/repairs": 0}, data_hash="d" * 64, registry_hash="r" * 64, commit=None)
    train = shop_rows(600, datetime(2024, 1, 1, tzinfo=UTC), seed=1)
    return TrainingSet(train, shop_rows(400, SPLIT, seed=2), COLUMNS, "came_back", lineage)


def shop_candidate(settings: Settings, objective: Objective, number: str | None = None) -> Candidate:
    """A version of `repairs` that was trained on `shop_data`, whose lineage says no labels to rebuild."""
    return candidate(
        settings, objective, Release(), model="repairs", number=number, training_data=lambda _: shop_data()
    )


def write_shop(settings: Settings, rows: pa.Table) -> None:
    """Store `rows` as labels and, known at the instant of the label, as features."""
    lake = Lake(settings.lake)
    write_deltalake(lake.labels("repairs"), rows.select(["pan", "shop", EVENT_TIMESTAMP, KNOWN_AT, "came_back"]))
    at = rows[EVENT_TIMESTAMP]
    pans = rows.select(["pan", *COLUMNS.names]).append_column(EVENT_TIMESTAMP, at).append_column(KNOWN_AT, at)
    write_deltalake(lake.silver("pans"), pans)


def shop_store(settings: Settings) -> FeatureStore:
    """The shop's Feast project, as its registry has it."""
    return FeatureStore(
        config=RepoConfig(
            project="shop",
            provider="local",
            repo_path=settings.home,
            registry={"registry_type": "sql", "path": settings.registry},
            offline_store={"type": "larder.offline.DeltaOfflineStore", "lake": settings.lake},
            online_store={"type": "sqlite", "path": str(settings.state / "online.db")},
            entity_key_serialization_version=3,
        )
    )


def apply_shop(store: FeatureStore) -> None:
    """Register the one view, which is the Delta table `silver/pans` that `write_shop` writes."""
    pan = Entity(name="pan", join_keys=["pan"], value_type=ValueType.STRING)
    pans = FeatureView(
        name="pans",
        entities=[pan],
        ttl=timedelta(days=1),
        source=DeltaSource(
            name="pans_source",
            path="silver/pans",
            timestamp_field=EVENT_TIMESTAMP,
            created_timestamp_column=KNOWN_AT,
            known_time_cutoff=True,
        ),
        schema=[
            Field(name="pan", dtype=String),
            Field(name="age_years", dtype=Float64),
            Field(name="metal", dtype=String),
            Field(name="weight_kg", dtype=Float64),
        ],
    )
    store.apply([pan, pans, FeatureService(name="repairs", features=[pans])])
