"""A small library that is being monitored: will a book that is lent come back late?"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from larder.contracts.bundle import Manifest, write_bundle
from larder.contracts.monitoring import Baseline, Finding, NumberBaseline, StringBaseline, Verdict
from larder.contracts.objective import CLASSIFICATION, Kpi, Label, Objective, Slice
from larder.contracts.plan import Column, Feature, FeaturePlan, ViewPlan
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.evaluation.classification import Classification
from monitoring.monitors.answers import Answers, ServedModel
from monitoring.monitors.window import Window

MODEL = "late_books"
NOW = datetime(2024, 3, 15, tzinfo=UTC)
WINDOW = Window.before(NOW, timedelta(days=1), run_at=NOW)
GENRES = ("crime", "poetry", "travel")
KPI = Kpi("cost", "EUR per loan", 1.0, 4.0, "A reminder costs 1 EUR, a late book 4 EUR")
TASK = Classification(KPI)
OBJECTIVE = Objective(
    question="Will the book come back late?",
    label=Label("loans", "is_late", "the book comes back late"),
    kpi=KPI,
    split_at=NOW - timedelta(days=60),
    test_until=NOW - timedelta(days=30),
    pipeline=lambda numbers, strings: None,
    gates=(),
    slices=(Slice("branch", "branch", minimum_rows=100),),
)
PLAN = FeaturePlan(
    project="library",
    service=MODEL,
    views=(
        ViewPlan(
            name="books",
            join_keys=(Feature("book", "int64"),),
            request_keys=("book",),
            features=(Feature("pages", "float64"), Feature("genre", "string")),
            ttl_seconds=None,
        ),
        ViewPlan(
            name="returns",
            join_keys=(Feature("branch", "string"),),
            request_keys=("branch",),
            features=(Feature("return_count_7d", "int64"),),
            ttl_seconds=None,
        ),
    ),
    on_demand=(),
    request_fields=(),
    columns=(
        Column("pages", "books", "pages", "float64"),
        Column("return_count_7d", "returns", "return_count_7d", "int64"),
        Column("genre", "books", "genre", "string"),
    ),
)


def settings_of(folder: Path) -> Settings:
    return Settings(home=folder, state=folder, lake=str(folder / "lake"), raw=folder / "raw", replay_at=NOW)


def features(random: np.random.Generator, rows: int) -> dict[str, list[Any]]:
    """One value in twenty of `pages` is null."""
    pages = np.where(random.random(rows) < 0.05, np.nan, random.lognormal(5.5, 0.5, rows))
    return {
        "pages": [None if np.isnan(value) else float(value) for value in pages],
        "return_count_7d": random.poisson(6, rows).tolist(),
        "genre": random.choice(GENRES, rows, p=(0.5, 0.3, 0.2)).tolist(),
    }


def probabilities(random: np.random.Generator, rows: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return random.beta(1, 4, rows)


def answers_table(
    values: dict[str, list[Any]],
    *,
    predicted: Any = None,
    version: str = "1",
    traffic: str = "live",
    end: datetime = NOW,
    length: timedelta = timedelta(days=1),
    first_book: int = 0,
    **others: Any,
) -> pa.Table:
    """One answer per row of `values`, spread evenly over the time before `end`; book numbers rise from `first_book`."""
    rows = len(values["pages"])
    names = pa.array([[]] * rows, pa.list_(pa.string()))
    types = {"pages": pa.float64(), "return_count_7d": pa.int64(), "genre": pa.string()}
    columns = {
        "answer_id": [f"{version}-{traffic}-{first_book + row:07}" for row in range(rows)],
        "row": pa.array([0] * rows, pa.int32()),
        "at": pa.array([end - length * (1 - (row + 1) / rows) for row in range(rows)], pa.timestamp("us", "UTC")),
        "model": [MODEL] * rows,
        "version": [version] * rows,
        "traffic": [traffic] * rows,
        "request": pa.StructArray.from_arrays(
            [
                pa.array(range(first_book, first_book + rows), pa.int64()),
                pa.array([f"branch {row % 2}" for row in range(rows)], pa.string()),
            ],
            names=["book", "branch"],
        ),
        "features": pa.StructArray.from_arrays(
            [pa.array(values[name], types[name]) for name in types], names=list(types)
        ),
        "probability": pa.array(np.full(rows, 0.2) if predicted is None else predicted, pa.float64()),
        **dict.fromkeys(("missing", "stale", "out_of_bounds"), names),
        **{name: pa.array(value, pa.list_(pa.string())) for name, value in others.items()},
    }
    return pa.table(columns)


def answers(table: pa.Table, *, model: ServedModel | None = None) -> Answers:
    return Answers(table, model or ServedModel("1", PLAN, None))


def labels_table(answered: pa.Table, outcome: Any, *, after: timedelta = timedelta(hours=6)) -> pa.Table:
    """The label of each answer, known `after` it; None stands for an outcome that never came."""
    request = answered["request"].combine_chunks()
    at = answered["at"].to_pylist()
    return pa.table(
        {
            "book": request.field("book"),
            "branch": request.field("branch"),
            "event_timestamp": answered["at"],
            "is_late": pa.array(outcome, pa.bool_()),
            "known_at": pa.array(
                [None if late is None else moment + after for late, moment in zip(outcome, at, strict=True)],
                pa.timestamp("us", "UTC"),
            ),
        }
    )


def number_baseline(values: Any) -> NumberBaseline:
    given = np.array([np.nan if value is None else value for value in values]).astype(np.float32).astype(float)
    known = given[~np.isnan(given)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, 11)[1:-1]))
    return NumberBaseline(
        edges=edges.tolist(),
        counts=np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1).tolist(),
        nulls=len(given) - len(known),
        quantiles=np.quantile(known, np.linspace(0, 1, 101)).tolist(),
        mean=float(known.mean()),
        deviation=float(known.std()),
    )


def baseline(seed: int = 1, rows: int = 20_000) -> Baseline:
    """Of the library's usual features, and of a calibrated model."""
    random = np.random.default_rng(seed)
    values, predicted = features(random, rows), probabilities(random, rows)
    outcome = (random.random(rows) < predicted).astype(np.int8)
    return Baseline(
        rows=rows,
        numbers={name: number_baseline(values[name]) for name in ("pages", "return_count_7d")},
        strings={"genre": StringBaseline({name: values["genre"].count(name) for name in GENRES}, 0)},
        prediction=number_baseline(predicted),
        judged_rows=rows,
        metrics=TASK.metrics(outcome, predicted),
        constant={name: float(of_rows.mean()) for name, of_rows in TASK.constant_losses(outcome).items()},
    )


def write_model(
    settings: Settings,
    usual: Baseline | None,
    *,
    version: str = "1",
    task: str = CLASSIFICATION,
    label: str = "is_late",
) -> None:
    manifest = Manifest(
        model=MODEL,
        version=version,
        run_id="run",
        label=label,
        runtime="onnx",
        numbers=("pages", "return_count_7d"),
        strings=("genre",),
        bounds={},
        threshold=0.2,
        parity=0.0,
        created_at="2024-01-01",
        task=task,
        costs=KPI.costs if task == CLASSIFICATION else {},
    )
    write_bundle(settings.bundles, manifest, PLAN, b"no graph", usual)


def write_answers(settings: Settings, *tables: pa.Table) -> None:
    for table in tables:
        write_deltalake(Lake(settings.lake).predictions(MODEL), table, mode="append")


def write_labels(settings: Settings, table: pa.Table) -> None:
    write_deltalake(Lake(settings.lake).labels("loans"), table, mode="append")


def alarms(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(item.monitor, item.subject, item.metric) for item in findings if item.verdict is Verdict.ALARM]


def unknown(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(item.monitor, item.subject, item.metric) for item in findings if item.verdict is Verdict.UNKNOWN]
