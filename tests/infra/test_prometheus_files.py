import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from larder.cli import larder
from tests.infra.exposed import exposed, unknown_names

FOLDER = Path(__file__).parents[2] / "infra" / "prometheus"
RULES = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]  # fmt: skip
MONITORS = {"freshness", "volume", "nulls", "absent", "out_of_range", "categories", "drift", "skew", "labels"} | {
    "quality",
    "expected_quality",
    "service",
}
PROMTOOL = shutil.which("promtool")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_only_for_what_is_exposed(rule: dict[str, Any]):
    assert unknown_names(rule["expr"], exposed()) == []


def test_a_name_that_nobody_exposes_is_noticed():
    known = exposed()

    assert unknown_names("rate(larder_request_total[5m]) > 0", known) == ["larder_request_total"]
    assert unknown_names('larder_model{versions="3"}', known) == ["larder_model{versions}"]
    assert unknown_names("sum by (features) (larder_model)", known) == ["by (features)"]
    with pytest.raises(ValueError):
        unknown_names("rate(larder_model[5m]", known)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_what_is_wrong_and_what_to_do(rule: dict[str, Any]):
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"].endswith(".") and rule["annotations"]["runbook"].endswith(".")


def test_every_monitor_has_its_alert():
    named = re.findall(r'monitor=~?"([^"]+)"', " ".join(rule["expr"] for rule in RULES))

    assert {monitor for names in named for monitor in names.split("|")} == MONITORS


def test_the_scrapes_are_those_that_alerts_name():
    jobs = {job["job_name"] for job in yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]}

    assert jobs == {"larder-serve", "larder-verify", "larder-monitor"}
    assert {"serve", "verify"} <= set(larder.list_commands(None))  # type: ignore[arg-type]


@pytest.mark.skipif(PROMTOOL is None, reason="promtool comes with Prometheus")
@pytest.mark.parametrize(
    "call", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")], ids="-".join
)
def test_prometheus_own_tool_agrees(call: tuple[str, ...]):
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *call], cwd=FOLDER, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
