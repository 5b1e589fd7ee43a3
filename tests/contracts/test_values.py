"""A wrong declaration is refused where it stands, with what was seen and what is possible."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from larder.contracts.answer import Answer
from larder.contracts.errors import ConfigurationError
from larder.contracts.ingestion import Column, Ingestion, RawTable, SilverTable
from larder.contracts.monitoring import Monitoring
from larder.contracts.objective import ErrorKpi, Gate, Kpi, Label, NumberLabel, Slice
from larder.contracts.retraining import (
    Release,
    Retraining,
    TrainingWindow,
    Trigger,
    require_fitting,
    require_outcomes_in_time,
)
from tests.training.shop import shop_objective
from tests.training.solder import solder_objective

NAN = float("nan")
SHOPS = Slice("shop", "shop")
COLUMNS = (Column("id"),)
RAW = RawTable("orders", "o*.csv", COLUMNS, ("id",))


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (
            lambda: RawTable("orders", "o*.csv", COLUMNS, ("id", "buyer")),
            r"lacks \['buyer'\], named as its key",
        ),
        (
            lambda: RawTable("orders", "o*.csv", COLUMNS, ("id",), arrives_at="at"),
            "named as its arrives_at",
        ),
        (lambda: RawTable("orders", "o*.csv", COLUMNS, ()), "'orders' has no key"),
        (lambda: Release(approvals=1.5), "approvals of the release is 1.5; it must be a whole number"),  # type: ignore[arg-type]
        (lambda: Release(approvals=-1), "approvals of the release is -1"),
        (lambda: Release(shadow_rows=True), "shadow_rows of the release is True"),
        (lambda: RawTable("orders", "o*.csv", COLUMNS, "id"), r"key of table 'orders' is 'id'; .* like \(one,\)"),  # type: ignore[arg-type]
        (lambda: RawTable("orders", ("o*.csv",), COLUMNS, ("id",)), "must be one pattern"),  # type: ignore[arg-type]
        (lambda: RawTable("orders", "o*.csv", COLUMNS * 2, ("id",)), "columns of table 'orders' have the name 'id'"),
        (lambda: RawTable("orders", "o*.csv", Column("id"), ("id",)), "columns of table 'orders' is Column"),  # type: ignore[arg-type]
        (lambda: SilverTable("orders", "orders", "id", COLUMNS), "key of table 'orders' is 'id'"),  # type: ignore[arg-type]
        (lambda: Column("way", allowed="sea"), "allowed of column 'way' is 'sea'; it must be a tuple"),  # type: ignore[arg-type]
        (lambda: Column("weight", "float64", minimum="0"), "minimum of column 'weight' is '0'"),  # type: ignore[arg-type]
        (lambda: Ingestion(raw=(RAW, RAW), silver=()), "Several tables have the name 'orders'"),
        (lambda: Ingestion(raw=RAW, silver=()), "raw of the ingestion is RawTable"),  # type: ignore[arg-type]
        (lambda: ErrorKpi("cost", "EUR", NAN, 1.0, ""), "too_low of KPI 'cost' is nan; it must be a finite number"),
        (lambda: ErrorKpi("cost", "EUR", 1.0, "3", ""), "too_high of KPI 'cost' is '3'"),  # type: ignore[arg-type]
        (lambda: Kpi("cost", "EUR", 1.0, float("inf"), ""), "miss of KPI 'cost' is inf"),
        (
            lambda: shop_objective(pipeline=lambda numbers: None),
            "must be a function of .number columns, string columns",
        ),
        (lambda: Gate("mae", "<", 1.0), "direction of the gate on mae is '<'; possible are '>=', '<='"),  # type: ignore[arg-type]
        (lambda: Gate("mae", "<=", NAN), "limit of the gate on mae is nan"),
        (lambda: NumberLabel("t", "x", "g", matures_after=2), "matures_after of label 'x' is 2"),  # type: ignore[arg-type]
        (lambda: Label("t", "x", "yes", matures_after=timedelta(days=-1)), "of at least zero"),
        (lambda: Slice("shop", "shop", minimum_rows=0), "minimum_rows of slice 'shop' is 0"),
        (lambda: Release(tolerance=-1.0), "tolerance of the release is -1.0; .* at least 0"),
        (lambda: Release(confidence=95), "confidence of the release is 95"),
        (lambda: Release(shadow=timedelta(days=20)), "nothing could ever be promoted"),
        (lambda: Release(watch=3), "watch of the release is 3; it must be a timedelta"),  # type: ignore[arg-type]
        (lambda: Retraining(every="weekly"), "every .* is 'weekly'"),  # type: ignore[arg-type]
        (lambda: Retraining(refused_by=("freshnes",)), "is 'freshnes'; possible are 'freshness'"),
        (lambda: Retraining(judged_on=timedelta(0)), "a model needs labels to be judged on"),
        (lambda: Retraining(window=timedelta(days=3)), "window of retraining is .*; it must be a TrainingWindow"),  # type: ignore[arg-type]
        (lambda: Retraining(release={"watch": 3}), "release of retraining is {'watch': 3}; it must be a Release"),  # type: ignore[arg-type]
        (lambda: Retraining(most_per_week="2"), "most_per_week is '2'; it must be a whole number, at least 1"),  # type: ignore[arg-type]
        (lambda: TrainingWindow(last=10), "last of the training window is 10; it must be a timedelta above zero"),  # type: ignore[arg-type]
        (lambda: Release(confidence="0.9"), "confidence of the release is '0.9'"),  # type: ignore[arg-type]
        (lambda: Trigger("drift", "psi", k="3"), "k of the trigger on drift is '3'"),  # type: ignore[arg-type]
        (lambda: Trigger("drift", "psi", k=6), "asks for 6 of 5 windows"),
        (lambda: Trigger("qualty", "mae"), "monitor of a trigger is 'qualty'"),
        (lambda: Trigger("expected_quality", "log_loss"), "monitor of a trigger is 'expected_quality'"),
        (lambda: Trigger("drift", "effect"), "metric of a trigger on drift is 'effect'; possible are 'psi', "),
        (lambda: Monitoring(number_effect=NAN), "number_effect of monitoring is nan"),
        (lambda: Monitoring(window=7), "window of monitoring is 7"),  # type: ignore[arg-type]
        (lambda: Answer("t", max_absent_share=50), "at least 0 and at most 1"),
        (lambda: Answer("t", essential="view"), "it must be a tuple with a text each"),  # type: ignore[arg-type]
        (lambda: Answer("t", probability="p", decision="p"), "would hold p twice"),
        (lambda: Answer("t", probability="missing"), "would hold missing twice"),
        (lambda: Answer("t", decision=""), "decision of the answer is ''; it must be a text"),
        (lambda: Answer(None), "label_table of the answer is None"),  # type: ignore[arg-type]
        (lambda: Answer("t", example=["b1"]), "example is .'b1'.; it must be a Mapping"),  # type: ignore[arg-type]
    ],
)
def test_a_value_that_makes_no_sense_is_refused(declare: Callable[[], Any], said: str):
    with pytest.raises(ConfigurationError, match=said):
        declare()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gates": Gate("mae", "<=", 1.0)}, "gates is Gate"),
        ({"slices": SHOPS, "gates": ()}, "slices is Slice"),
        ({"slices": (SHOPS, SHOPS), "gates": ()}, "Several slices have the name 'shop'"),
        ({"metrics": "mae"}, "metrics is 'mae'"),
        ({"question": None}, "question is None; it must be a text"),
        ({"label": "solder_g"}, "label is 'solder_g'; it must be a Label or NumberLabel"),
        ({"kpi": None}, "kpi is None; it must be a Kpi or ErrorKpi"),
        ({"card": "for staff"}, "card is 'for staff'; it must be a Card"),
        ({"seed": -1}, "seed is -1; it must be a whole number"),
        ({"references": [("plain", ("age_years",))], "gates": ()}, "references is .*; it must be a Mapping"),
        ({"references": {"plain": ()}, "gates": ()}, "Reference 'plain' has no features"),
        ({"split_at": date(2024, 3, 1)}, "split_at is datetime.date"),
        ({"test_until": "2024-03-01"}, "a datetime with a time zone"),
        ({"bounds": None}, "bounds are None"),
        ({"pipeline": "trees"}, "pipeline is 'trees'; it must be a function"),
        ({"references": {"plain": "age_years"}, "gates": ()}, "reference 'plain' is 'age_years'"),
        ({"references": {"champion": ("age_years",)}, "gates": ()}, "'champion' is there without being declared"),
    ],
)
def test_an_objective_says_which_of_its_parts_is_wrong(changes: dict[str, Any], said: str):
    with pytest.raises(ConfigurationError, match=said):
        solder_objective(**changes)


def test_a_limit_that_nothing_exceeds_may_be_declared():
    assert Monitoring(latency_p99_ms=float("inf")).latency_p99_ms == float("inf")


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Retraining(gates=(Gate("log_loss", "<=", 0.0),)), "`gates` of Retraining .* metric of a gate of regression"),
        (Retraining(triggers=(Trigger("quality", "log_loss"),)), "is 'log_loss'; possible are 'mae', 'kpi'"),
        (Retraining(triggers=(Trigger("quality", "rmse"),)), "is 'rmse'; possible are 'mae', 'kpi'"),
    ],
)
def test_a_policy_for_another_question_is_refused_for_its_triggers_would_never_fire(policy: Retraining, said: str):
    require_fitting(Retraining(), solder_objective())

    with pytest.raises(ConfigurationError, match=said):
        require_fitting(policy, solder_objective())


def test_what_fits_one_question_is_refused_for_the_other():
    policy = Retraining(triggers=(Trigger("quality", "log_loss"), Trigger("drift", "psi")))

    require_fitting(policy, shop_objective())
    with pytest.raises(ConfigurationError):
        require_fitting(policy, solder_objective())


@pytest.mark.parametrize(
    ("release", "said"),
    [
        (Release(), "patience of the release is 14 days.*rejected undecided"),
        (Release(patience=timedelta(days=40)), "watch of the release is 7 days.*confirmed unseen"),
        (Release(patience=timedelta(days=40), watch=timedelta(days=30)), "watch of the release is 30 days"),
    ],
)
def test_a_release_that_ends_before_outcomes_come_is_refused(release, said):
    late = shop_objective(label=replace(shop_objective().label, matures_after=timedelta(days=30)))

    with pytest.raises(ConfigurationError, match=said):
        require_outcomes_in_time(release, late)


@pytest.mark.parametrize("watch", [timedelta(0), timedelta(days=31)], ids=["none", "long enough"])
def test_a_release_that_outlasts_the_wait_for_outcomes_or_has_no_watch_is_fine(watch):
    late = shop_objective(label=replace(shop_objective().label, matures_after=timedelta(days=30)))

    require_outcomes_in_time(Release(patience=timedelta(days=40), watch=watch), late)
    with pytest.raises(ConfigurationError, match="patience"):
        require_outcomes_in_time(Release(patience=timedelta(days=30), watch=watch), late)
