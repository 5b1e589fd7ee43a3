"""Policies side by side, as a terminal of 80 columns shows them."""

import io
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from larder.contracts.retraining import POLICIES
from replay.report import comparison_table, incident_table, summary
from replay.result import Noticed, Result

FIRST, LAST = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC)
STOPPED = Noticed("feed_stops of orders from 05 Mar", "nulls", "a_feature_with_a_long_name_that_goes_on_7d", 30.0, 0)
REPEATED = Noticed("repeated_files of orders from 11 Mar", None, None, None, 1)


def lived(policy: str, log_loss: float | None = 0.4466) -> Result:
    metrics = {"log_loss": log_loss, "roc_auc": 0.7771, "brier": 0.14, "kpi": 75.7} if log_loss else {}
    return Result(
        policy, FIRST, LAST, 308_070, 299_281, "roc_auc", "log_loss", metrics, 10, 9, 1, 0, 42, 40,
        [STOPPED, REPEATED], [], [],
    )  # fmt: skip


def shown(table: Table) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_four_policies_fit_into_a_terminal_with_every_figure_whole():
    said = shown(comparison_table([lived(policy) for policy in POLICIES]))

    assert all(said.count(figure) == 4 for figure in ("308,070", "0.4466", "75.7000", " 42 "))
    assert all(policy in said for policy in POLICIES) and "…" not in said


def test_what_was_never_judged_is_a_dash():
    [line] = [line for line in shown(comparison_table([lived("never", None)])).splitlines() if "Log loss" in line]

    assert line.split() == ["Log", "loss", "-"]


def test_each_incident_names_its_first_alarm_or_none():
    said = shown(incident_table([lived("automatic")]))

    assert "30 h" in said and "none" in said and "…" not in said


def test_the_summary_has_the_figures_of_every_policy():
    found = summary([lived("never"), lived("automatic", 0.44)])

    assert found["log_loss"] == 0.44 and set(found["policies"]) == {"never", "automatic"}
    assert found["policies"]["never"]["trainings"] == 10
