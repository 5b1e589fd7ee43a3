from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from deltalake import DeltaTable, write_deltalake

from larder.contracts.bundle import Manifest
from larder.contracts.plan import Column, FeaturePlan
from larder.contracts.tables import LIVE, SHADOW
from larder.predictions import read_predictions
from serving.log.prediction_log import LoggedAnswer, delta_writer
from serving.models.model import Model
from tests.serving.conftest import AT, PREDICTION, REQUEST, VALUES


def _answer(model: Model, name: str = "a", rows: int = 1) -> LoggedAnswer:
    return LoggedAnswer(name, AT, model, [REQUEST] * rows, [VALUES] * rows, [PREDICTION] * rows)


def _logged(table: str) -> list[dict[str, Any]]:
    return DeltaTable(table).to_pyarrow_table().sort_by([("answer_id", "ascending"), ("row", "ascending")]).to_pylist()


def test_a_row_holds_request_features_statuses_and_answer(model: Model, tmp_path: Path):
    table = str(tmp_path / "my lake" / "predictions")

    delta_writer(table)([_answer(model)])

    assert _logged(table) == [
        {
            "answer_id": "a",
            "row": 0,
            "at": AT,
            "model": "returns",
            "version": "1",
            "traffic": "live",
            "request": REQUEST,
            "features": {
                "sales_mean_7d": 30.0,
                "sales_count_7d": 40,
                "region": "east",
                "age_years": None,
                "order_hour": 12,
                "amount": 20.0,
            },
            "missing": ["age_years"],
            "stale": [],
            "out_of_bounds": ["amount"],
            "probability": 0.25,
            "decision": False,
            "confidence": "high",
        }
    ]


def test_a_version_with_other_features_is_logged_in_the_same_table(
    model: Model, tmp_path: Path, manifest: Manifest, plan: FeaturePlan
):
    table = str(tmp_path / "predictions")
    other = Model(
        **{
            **vars(model),
            "plan": FeaturePlan(
                plan.project,
                plan.service,
                plan.views,
                plan.on_demand,
                plan.request_fields,
                (Column("weight", "shop_sales", "weight", "float64"),),
            ),
        }
    )

    delta_writer(table)([_answer(model, "a"), LoggedAnswer("b", AT, other, [REQUEST], [[1.5]], [PREDICTION])])

    first, second = _logged(table)
    assert (first["features"]["sales_count_7d"], first["features"]["weight"]) == (40, None)
    assert (second["features"]["sales_count_7d"], second["features"]["weight"]) == (None, 1.5)


def test_a_champion_and_a_shadow_with_the_same_columns_share_one_commit(model: Model, tmp_path: Path):
    table = str(tmp_path / "predictions")
    other = replace(model, manifest=msgspec.structs.replace(model.manifest, version="2"))
    answers = [_answer(item, name) for name in ("a", "b") for item in (model, other)]

    delta_writer(table)(answers)

    assert DeltaTable(table).version() == 0
    assert sorted((row["answer_id"], row["version"]) for row in _logged(table)) == [
        ("a", "1"),
        ("a", "2"),
        ("b", "1"),
        ("b", "2"),
    ]


def test_a_shadow_that_needs_less_is_logged_with_all_that_the_caller_sent(
    model: Model, tmp_path: Path, plan: FeaturePlan
):
    table = str(tmp_path / "predictions")
    shops = msgspec.structs.replace(plan, views=plan.views[:1], columns=plan.columns[:1], on_demand=())
    shadow = replace(model, plan=msgspec.structs.replace(shops, request_fields=()))

    delta_writer(table)([LoggedAnswer("a", AT, shadow, [REQUEST], [[30.0]], [PREDICTION], SHADOW, plan)])

    [row] = _logged(table)
    assert (row["request"], row["features"]) == (REQUEST, {"sales_mean_7d": 30.0})


def test_a_table_from_before_there_was_a_shadow_is_continued_and_its_rows_count_as_live(model: Model, tmp_path: Path):
    table = str(tmp_path / "predictions")
    delta_writer(table)([_answer(model, "a")])
    older = DeltaTable(table).to_pyarrow_table().drop_columns("traffic")
    write_deltalake(table, older, mode="overwrite", schema_mode="overwrite")

    delta_writer(table)([_answer(model, "b"), replace(_answer(model, "b"), traffic=SHADOW)])

    assert [row["traffic"] for row in _logged(table) if row["answer_id"] == "a"] == [None]
    found = read_predictions(table, since=AT - timedelta(days=1), until=AT).select(["answer_id", "traffic"])
    assert [tuple(row.values()) for row in found.to_pylist()] == [("a", LIVE), ("b", LIVE), ("b", SHADOW)]


def test_what_callers_sent_does_not_reach_the_statistics_in_the_tables_log(model: Model, tmp_path: Path):
    delta_writer(str(tmp_path / "predictions"))([_answer(model)])

    commits = "".join(path.read_text() for path in (tmp_path / "predictions" / "_delta_log").glob("*.json"))

    assert '\\"at\\"' in commits
    assert "north" not in commits
