"""A run of all monitors over real Delta tables: what is usual stays quiet, what is wrong is named, nothing is lost."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from larder.contracts.monitoring import Finding, Monitoring, Verdict
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.findings import read_findings
from larder.ledger import Act, Ledger
from monitoring.monitors.freshness import ViewState
from monitoring.monitors.skew import Recompute
from monitoring.run import record, run_monitors
from tests.monitoring.library import (
    MODEL,
    NOW,
    OBJECTIVE,
    alarms,
    answers_table,
    baseline,
    features,
    labels_table,
    probabilities,
    settings_of,
    unknown,
    write_answers,
    write_labels,
    write_model,
)

DAY = timedelta(days=1)
FRESH = (ViewState("books", NOW - DAY, NOW), ViewState("returns", NOW, NOW - timedelta(minutes=5)))
PER_DAY = 400


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path)


@pytest.fixture
def quiet(settings: Settings) -> Settings:
    """Six quiet weeks of a calibrated model whose outcomes are known after six hours."""
    random = np.random.default_rng(5)
    write_model(settings, baseline())
    days = []
    for day in range(42):
        predicted = probabilities(random, PER_DAY)
        end = NOW - day * DAY
        values = features(random, PER_DAY)
        days.append(answers_table(values, predicted=predicted, end=end, first_book=day * PER_DAY))
    answered = pa.concat_tables(days)
    write_answers(settings, answered)
    late = random.random(answered.num_rows) < answered["probability"].to_numpy()
    write_labels(settings, labels_table(answered, late.tolist()))
    return settings


def run(
    settings: Settings,
    limits: Monitoring | None = None,
    *,
    views: Sequence[ViewState] = FRESH,
    recompute: Recompute | None = None,
) -> list[Finding]:
    return run_monitors(
        settings, OBJECTIVE, limits or Monitoring(), model=MODEL, now=NOW, views=views, recompute=recompute
    )


def test_quiet_weeks_raise_no_alarm_and_leave_nothing_unknown(quiet: Settings):
    found = run(quiet)

    assert alarms(found) == [] and unknown(found) == []
    assert {item.monitor for item in found} == {
        "freshness", "volume", "nulls", "absent", "out_of_range", "categories", "drift", "labels", "quality",
        "expected_quality",
    }  # fmt: skip
    assert {item.subject for item in found if item.monitor == "quality"} == {
        "1", "live", "branch=branch 0", "branch=branch 1"
    }  # fmt: skip
