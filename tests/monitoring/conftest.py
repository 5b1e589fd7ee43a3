"""Step results of a small library: will a book that is lent today come back late?"""

from typing import Any

import pytest

TRAIN = {
    "use_case": "late_books",
    "question": "Will the book come back late?",
    "model": {"name": "late_books", "version": "3", "run_id": "9f2c11"},
    "metrics": {"roc_auc": 0.7654, "log_loss": 0.4321, "brier": 0.14, "kpi": 0.2124, "rows": 8000},
    "references": {
        "constant": {"roc_auc": 0.5, "log_loss": 0.5511},
        "calendar": {"roc_auc": 0.6342, "log_loss": 0.5099},
        "champion": None,
    },
    "gates": [
        {"name": "roc_auc", "value": 0.7654, "limit": 0.755, "direction": ">=", "passed": True},
        {"name": "log_loss_against_calendar", "value": 0.4321, "limit": 0.5099, "direction": "<=", "passed": True},
    ],
    "test_window": ["2021-10-01T00:00:00+02:00", "2022-01-01T00:00:00+01:00"],
    "rows": {"train": 24000, "test": 8000},
    "curves": {
        "roc": {
            "false_positive_rate": [0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0],
            "true_positive_rate": [0.0, 0.16, 0.29, 0.43, 0.6, 0.74, 0.84, 0.93, 0.975, 1.0],
        },
        "calibration": {
            "predicted": [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95],
            "observed": [0.06, 0.14, 0.26, 0.33, 0.46, 0.57, 0.62, 0.77, 0.84, 0.92],
            "count": [2100, 1800, 1300, 900, 640, 450, 330, 240, 160, 80],
        },
        "importance": [
            {"feature": "reader_late_share_90d", "value": 0.081},
            {"feature": "branch_returns_count_7d", "value": 0.034},
            {"feature": "book_pages", "value": 0.012},
            {"feature": "loan_weekday", "value": 0.004},
        ],
    },
    "slices": [
        {"slice": "branch", "value": "north", "rows": 5000, "ranking": 0.77},
        {"slice": "branch", "value": "south", "rows": 3000, "ranking": 0.741},
    ],
    "kpi": {
        "name": "cost of reminders and losses", "unit": "EUR per loan", "value": 0.2124, "reference": 0.301,
        "description": "a reminder costs 0.50, a book that comes late 4.00",
    },
    "data": {
        "tables": {"loans": 4, "returns": 7}, "data_hash": "sha256:aa11", "registry_hash": "bb22", "commit": "cc33",
    },
    "seconds": {"training_set": 1.4, "fit": 3.2, "evaluate": 0.6},
}  # fmt: skip

PROMOTE = {
    "model": "late_books", "version": "3", "bundle": "bundles/late_books/3", "runtime": "onnx",
    "parity": {"rows": 2000, "max_difference": 4.1e-7}, "gates": TRAIN["gates"],
}  # fmt: skip

ASK = {
    "at": "2021-12-28T17:00:00Z",
    "url": "http://127.0.0.1:8600",
    "model_version": "3",
    "answers": [
        {
            "request": {"reader": "R-17", "book": "B-204", "due_at": "2022-01-18T17:00:00Z"},
            "answer": {
                "late_probability": 0.8312, "is_reminder_due": True, "confidence": "high", "missing": [], "stale": [],
                "features": {
                    "loan_weekday": 1, "reader_late_share_90d": 0.625, "book_pages": 412, "branch_returns_count_7d": 96,
                },
            },
            "outcome": True,
        },
        {
            "request": {"reader": "R-99", "book": "B-3", "due_at": "2022-01-18T17:00:00Z"},
            "answer": {
                "late_probability": 0.0712, "is_reminder_due": False, "confidence": "low",
                "missing": ["reader_late_share_90d"], "stale": [],
                "features": {
                    "loan_weekday": 1, "reader_late_share_90d": None, "book_pages": 120, "branch_returns_count_7d": 96,
                },
            },
            "outcome": None,
        },
    ],
    "latency_ms": {"median": 1.21, "p99": 3.4},
}  # fmt: skip

VERIFY = {
    "at": "2021-12-28T17:00:00Z",
    "compared": 1200,
    "different": 0,
    "views": [
        {
            "view": "reader_returns", "entities": 400,
            "features": [
                {"feature": "reader_late_share_90d", "equal": 390, "different": 0, "missing": 0, "stale": 10},
                {"feature": "reader_count_90d", "equal": 390, "different": 0, "missing": 0, "stale": 10},
            ],
        },
        {
            "view": "branch_returns", "entities": 400,
            "features": [
                {"feature": "branch_returns_count_7d", "equal": 400, "different": 0, "missing": 0, "stale": 0},
            ],
        },
    ],
    "seconds": 2.5,
}  # fmt: skip

RUN = {
    "clock": "2021-12-28T17:00:00Z",
    "seconds": {"ingest": 41.0, "features": 95.2, "train": 12.5, "promote": 3.1, "ask": 1.8, "verify": 2.5},
    "peak_memory_gb": {"ingest": 2.1, "features": 4.7, "train": 1.9},
    "steps": [{"step": "ingest", "command": "larder ingest", "seconds": 41.0}],
}


@pytest.fixture
def results() -> dict[str, Any]:
    """A fresh copy of what each step of a good run leaves; tests change it as they like."""
    import copy

    return copy.deepcopy({"train": TRAIN, "promote": PROMOTE, "ask": ASK, "verify": VERIFY, "run": RUN})
