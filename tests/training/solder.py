"""The shop that repairs pans asks for a number: how many grams of solder will a pan need?"""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from larder.contracts.objective import ErrorKpi, Gate, NumberLabel, Objective, Slice
from tests.training.shop import COLUMNS, SPLIT, shop_data, shop_objective, shop_rows
from training.data.training_set import TrainingSet

KPI = ErrorKpi("cost of solder", "EUR per pan", too_low=3.0, too_high=1.0, description="A walk back, or solder wasted")
LABEL = NumberLabel("solder", "solder_g", unit="grams of solder", matures_after=timedelta(0))


def number_pipeline(numbers: Any, strings: Any) -> Pipeline:
    count = len(numbers)
    encoder = ColumnTransformer(
        [
            ("numbers", "passthrough", list(range(count))),
            ("strings", OneHotEncoder(handle_unknown="ignore"), list(range(count, count + len(strings)))),
        ],
        sparse_threshold=0,
    )
    return Pipeline([("columns", encoder), ("trees", HistGradientBoostingRegressor(max_iter=40, random_state=0))])


def solder_objective(**changes: Any) -> Objective:
    declared: dict[str, Any] = {
        "question": "How much solder will the pan need?",
        "label": LABEL,
        "kpi": KPI,
        "pipeline": number_pipeline,
        "slices": (Slice("shop", "shop", minimum_rows=50),),
        "gates": (
            Gate("r2", ">=", 0.7),
            Gate("mae", "<=", 0.0, relative_to="calendar"),
            Gate("kpi", "<=", 0.0, relative_to="constant"),
            Gate("mae", "<=", 20.0, slice="shop"),
            Gate("mae", "<=", 0.5, relative_to="champion"),
        ),
    }
    return shop_objective(**(declared | changes))


def solder_rows(count: int, start: datetime, *, seed: int) -> pa.Table:
    """Old pans need more, copper ones a hundred grams on top."""
    rows = shop_rows(count, start, seed=seed)
    random = np.random.default_rng(seed)
    copper = np.array([metal == "copper" for metal in rows["metal"].to_pylist()])
    grams = 10.0 * rows["age_years"].to_numpy() + 100.0 * copper + random.normal(0, 5, count)
    return rows.drop_columns(["came_back"]).append_column("solder_g", pa.array(grams))


def solder_data() -> TrainingSet:
    lineage = shop_data().lineage
    train = solder_rows(600, datetime(2024, 1, 1, tzinfo=UTC), seed=1)
    return TrainingSet(train, solder_rows(400, SPLIT, seed=2), COLUMNS, "solder_g", lineage)
