"""Bar P9: all monitors over one day's prediction log, beside Evidently's drift report on the same rows.

Ours reads the log, the labels and the model's bundle from disk and watches freshness, volume, nulls, absences, ranges,
categories, drift, labels and quality; Evidently gets the same day and the training rows as pandas frames and reports
drift alone. Each runs in a process of its own, in turn; imports are left out. The log also holds the answers of the
week before, with labels, in which quality is measured: as many as the day has.

    python benchmarks/monitoring.py [--quick]
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import write_deltalake
from race import raced
from uv import find_uv_bin

MODEL, LABELS = "benchmark", "outcomes"
NOW = datetime(2024, 3, 15, tzinfo=UTC)
NUMBERS, STRINGS, DRIFTED = 90, 10, 10
"""Features of each kind; of the numeric ones the first few move by half a standard deviation."""
USUAL_ROWS = 100_000
"""Training rows."""
LIMIT_SECONDS = 900
PART = 100_000
"""Rows per commit, as a day's log grows."""


@dataclass(frozen=True)
class Size:
    rows: int
    runs: int
    peer_runs: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the day of 1,000 predictions only, one run")
    parser.add_argument("--contender", choices=["larder"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        _compete(arguments.folder)
        return
    sizes = [Size(1_000, 1, 1)] if arguments.quick else [Size(1_000, 5, 5), Size(1_000_000, 3, 1)]
    for bar in [_bar(size) for size in sizes]:
        print(json.dumps(bar), flush=True)


def _bar(size: Size) -> dict[str, Any]:
    ours, theirs = [], []
    evidently = Path(__file__).with_name("evidently_drift.py")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_data(folder, size.rows)
        os.environ["DO_NOT_TRACK"] = "1"
        for turn in range(size.runs):
            ours.append(raced(__file__, "larder", folder, limit_seconds=LIMIT_SECONDS))
            if turn < size.peer_runs:
                python = (find_uv_bin(), "run", "--quiet", "--script")
                theirs.append(raced(str(evidently), "evidently", folder, limit_seconds=LIMIT_SECONDS, python=python))
    seconds = statistics.median(run.printed["seconds"] for run in ours)
    is_finished = all(run.printed for run in theirs)
    peer = statistics.median(run.printed["seconds"] if run.printed else LIMIT_SECONDS for run in theirs)
    return {
        "bar": "P9",
        "ratio_to_evidently": round(peer / seconds, 2),
        "seconds": round(seconds, 2),
        "peak_memory_gb": round(max(run.peak_memory_gb for run in ours), 2),
        "rows": size.rows,
        "features": NUMBERS + STRINGS,
        "findings": ours[0].printed["findings"],
        "drifted": ours[0].printed["drifted"],
        "evidently_seconds": round(peer, 2),
        "evidently_memory_gb": round(max(run.peak_memory_gb for run in theirs), 2),
        "evidently_drifted": theirs[0].printed["drifted"] if is_finished else None,
        "evidently_is_finished": is_finished,
    }


def _compete(folder: Path) -> None:
    """In a process of its own: imports, then one run of all monitors."""
    warnings.simplefilter("ignore")
    sys.path.remove(str(Path(__file__).parent))  # or this very file would be taken for the stage of its name
    from larder.contracts.monitoring import Monitoring, Verdict
    from monitoring.monitors.freshness import ViewState
    from monitoring.run import run_monitors

    objective, settings = _objective(), _settings(folder)
    views = [ViewState(f"view_{number}", NOW, NOW) for number in range(4)]
    started = time.perf_counter()
    found = run_monitors(settings, objective, Monitoring(), model=MODEL, now=NOW, views=lambda: views, recompute=None)
    seconds = time.perf_counter() - started
    failed = [item.evidence for item in found if item.metric == "run"]
    if failed:
        raise SystemExit(f"A monitor failed, so the time means nothing: {failed}")
    alarms = {item.subject for item in found if item.monitor == "drift" and item.verdict is Verdict.ALARM}
    print(json.dumps({"seconds": seconds, "findings": len(found), "drifted": len(alarms)}), flush=True)


def _settings(folder: Path) -> Any:
    from larder.contracts.settings import Settings

    return Settings(home=folder, state=folder, lake=str(folder / "lake"), raw=folder, replay_at=NOW)


def _objective() -> Any:
    from larder.contracts.objective import Kpi, Label, Objective

    return Objective(
        question="Will it?",
        label=Label(LABELS, "outcome", "it will"),
        kpi=Kpi("cost", "EUR", 1.0, 4.0, "A benchmark's"),
        split_at=NOW - timedelta(days=60),
        test_until=NOW - timedelta(days=30),
        pipeline=lambda *_: None,
        gates=(),
    )


def _write_data(folder: Path, rows: int) -> None:
    """Training rows and the day as Parquet for Evidently; the log, the labels and the bundle for ours."""
    from larder.contracts.tables import Lake

    random, lake = np.random.default_rng(7), Lake(str(folder / "lake"))
    usual = _features(random, USUAL_ROWS, shift=0.0)
    pq.write_table(usual, folder / "usual.parquet")
    _write_bundle(folder, usual, random)
    del usual
    parts = []
    for first in range(0, rows, PART):
        count = min(PART, rows - first)
        parts.append(_features(random, count, shift=0.5))
        at = NOW - timedelta(days=1) * (1 - np.arange(first + 1, first + count + 1) / rows)
        _append(lake.predictions(MODEL), _answers(random, first, at, parts[-1]))
    pq.write_table(pa.concat_tables(parts), folder / "current.parquet")
    week = NOW - timedelta(days=2) - timedelta(days=7) * (1 - np.arange(1, rows + 1) / rows)
    earlier = _answers(random, rows, week, None)
    _append(lake.predictions(MODEL), earlier)
    outcome = random.random(rows) < earlier["probability"].to_numpy()
    known_at = pc.add(earlier["at"], pa.scalar(timedelta(hours=6), pa.duration("us")))
    write_deltalake(
        lake.labels(LABELS),
        pa.table(
            {
                "id": earlier["request"].combine_chunks().field("id"),
                "event_timestamp": earlier["at"],
                "known_at": known_at,
                "outcome": outcome,
            }
        ),
    )


def _features(random: np.random.Generator, rows: int, *, shift: float) -> pa.Table:
    numbers = {
        f"number_{index}": random.normal(shift if index < DRIFTED else 0.0, 1.0, rows) for index in range(NUMBERS)
    }
    strings = {f"string_{index}": random.choice([*"abcdefgh"], rows).astype(object) for index in range(STRINGS)}
    return pa.table(numbers | strings)


def _answers(
    random: np.random.Generator, first: int, at: npt.NDArray[np.object_], features: pa.Table | None
) -> pa.Table:
    """One answer per instant; without features, as in the log's older rows, they are null."""
    rows = len(at)
    names = [f"number_{index}" for index in range(NUMBERS)] + [f"string_{index}" for index in range(STRINGS)]
    nothing = pa.array([[]] * rows, pa.list_(pa.string()))
    dtype = pa.struct([(name, pa.float64() if name.startswith("number") else pa.string()) for name in names])
    values = (
        pa.nulls(rows, dtype)
        if features is None
        else pa.StructArray.from_arrays([features[name].combine_chunks() for name in names], names=names)
    )
    return pa.table(
        {
            "answer_id": pa.array([f"{first + row:09}" for row in range(rows)]),
            "row": pa.array(np.zeros(rows, np.int32)),
            "at": pa.array(at.tolist(), pa.timestamp("us", "UTC")),
            "model": pa.array([MODEL] * rows),
            "version": pa.array(["1"] * rows),
            "traffic": pa.array(["live"] * rows),
            "request": pa.StructArray.from_arrays([pa.array(np.arange(first, first + rows))], names=["id"]),
            "features": values,
            "missing": nothing,
            "stale": nothing,
            "out_of_bounds": nothing,
            "probability": random.beta(1, 4, rows),
            "decision": pa.array(np.zeros(rows, bool)),
            "confidence": pa.array(["high"] * rows),
        }
    )


def _append(place: str, rows: pa.Table) -> None:
    write_deltalake(place, rows, mode="append", configuration={"delta.dataSkippingStatsColumns": "at"})


def _write_bundle(folder: Path, usual: pa.Table, random: np.random.Generator) -> None:
    from larder.contracts.bundle import Manifest, set_champion, write_bundle
    from larder.contracts.monitoring import Baseline, StringBaseline
    from larder.contracts.plan import Column, Feature, FeaturePlan, ViewPlan
    from larder.evaluation import task_of

    types = {name: "string" if name.startswith("string") else "float64" for name in usual.column_names}
    entity = (Feature("id", "int64"),)
    view = ViewPlan("view_0", entity, ("id",), tuple(Feature(*item) for item in types.items()), None)
    columns = tuple(Column(name, "view_0", name, dtype) for name, dtype in types.items())
    plan = FeaturePlan(MODEL, MODEL, (view,), (), (), columns)
    numbers = [name for name, dtype in types.items() if dtype == "float64"]
    strings = [name for name, dtype in types.items() if dtype == "string"]
    task, predicted = task_of(_objective()), random.beta(1, 4, USUAL_ROWS)
    outcome = (random.random(USUAL_ROWS) < predicted).astype(np.int8)
    counts = {
        name: {item["values"]: item["counts"] for item in usual[name].value_counts().to_pylist()} for name in strings
    }
    baseline = Baseline(
        rows=USUAL_ROWS,
        numbers={name: _number_baseline(usual[name].to_numpy()) for name in numbers},
        strings={name: StringBaseline(counts[name], 0) for name in strings},
        prediction=_number_baseline(predicted),
        judged_rows=USUAL_ROWS,
        metrics=task.metrics(outcome, predicted),
        constant={name: float(of_rows.mean()) for name, of_rows in task.constant_losses(outcome).items()},
    )
    manifest = Manifest(
        MODEL, "1", "run", "outcome", "onnx", tuple(numbers), tuple(strings), {}, 0.2, 0.0, NOW.isoformat()
    )
    write_bundle(_settings(folder).bundles, manifest, plan, b"no graph", baseline)
    set_champion(_settings(folder).bundles, MODEL, "1")


def _number_baseline(values: npt.NDArray[np.float64]) -> Any:
    from larder.contracts.monitoring import NumberBaseline

    known = values.astype(np.float32).astype(float)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, 11)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    quantiles = np.quantile(known, np.linspace(0, 1, 101))
    return NumberBaseline(
        edges.tolist(), counts.tolist(), 0, quantiles.tolist(), float(known.mean()), float(known.std())
    )


if __name__ == "__main__":
    main()
