"""Will this order come back? A refused return costs a buyer, an unexpected one costs the way."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from larder.contracts.monitoring import Monitoring
from larder.contracts.objective import Gate, Kpi, Label, Objective, Slice
from larder.contracts.retraining import Release, Retraining


def pipeline(numbers: Sequence[str], strings: Sequence[str]) -> Pipeline:
    positions = range(len(numbers) + len(strings))
    encoder = ColumnTransformer(
        [
            ("numbers", "passthrough", list(positions[: len(numbers)])),
            ("strings", OneHotEncoder(handle_unknown="ignore", sparse_output=False), list(positions[len(numbers) :])),
        ]
    )
    return Pipeline([("encode", encoder), ("model", HistGradientBoostingClassifier(max_iter=40, random_state=0))])


objective = Objective(
    question="Will this order be returned?",
    label=Label(
        "returned_orders",
        "is_returned",
        positive="returned",
        # Until then only returns are known, and nothing of what is kept.
        matures_after=timedelta(days=7),
    ),
    kpi=Kpi("cost per order", "EUR", false_alarm=2.0, miss=6.0, description="A call, or a parcel both ways"),
    split_at=datetime(2024, 2, 10, tzinfo=UTC),
    test_until=datetime(2024, 3, 1, tzinfo=UTC),
    pipeline=pipeline,
    references={"calendar": ("order_amount",)},
    slices=(Slice("buyer", "buyer", minimum_rows=30),),
    gates=(Gate("roc_auc", ">=", 0.7), Gate("log_loss", "<=", 0.0, relative_to="constant")),
)

# Some seventy orders a day: a week is the shortest time that says anything.
monitoring = Monitoring(window=timedelta(days=7), quality_window=timedelta(days=14), minimum_rows=200)
retraining = Retraining(
    growth=0.5,
    judged_on=timedelta(days=10),
    minimum_rows=500,
    cool_down=timedelta(days=5),
    gates=(Gate("log_loss", "<=", 0.0, relative_to="constant"), Gate("log_loss", "<=", 0.02, relative_to="champion")),
    release=Release(shadow=timedelta(days=9), shadow_rows=50, patience=timedelta(days=20), watch=timedelta(days=9)),
)
