from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from larder.contracts.monitoring import Finding, Verdict
from larder.contracts.settings import Settings
from monitoring.prometheus import exposition, write_metrics

START, DAY = datetime(2021, 12, 1, tzinfo=UTC), timedelta(days=1)


def test_value_limit_and_verdict_of_each_finding_are_exposed():
    shown = samples([found("drift", "pages", value=0.31, verdict=Verdict.ALARM), found("nulls", "pages", value=0.1)])

    assert shown["larder_monitor_value", "drift", "pages", "psi"] == 0.31
    assert shown["larder_monitor_limit", "drift", "pages", "psi"] == 0.25
    assert shown["larder_monitor_verdict", "drift", "pages", "psi"] == 2
    assert shown["larder_monitor_verdict", "nulls", "pages", "psi"] == 0


def test_what_could_not_be_told_has_a_verdict_and_no_value():
    shown = samples([found("drift", "pages", value=None, verdict=Verdict.UNKNOWN)])

    assert shown["larder_monitor_verdict", "drift", "pages", "psi"] == 1
    assert ("larder_monitor_value", "drift", "pages", "psi") not in shown


def test_only_the_latest_run_is_exposed():
    shown = samples([found("drift", "gone", value=0.9, day=0), found("drift", "pages", value=0.1, day=1)])

    assert ("larder_monitor_value", "drift", "gone", "psi") not in shown
    assert shown["larder_monitor_run_timestamp_seconds",] == (START + DAY).timestamp()


def test_names_with_quotes_and_line_ends_stay_readable():
    shown = samples([found("drift", 'a "b"\n\\c', value=0.1)])

    assert shown["larder_monitor_value", "drift", 'a "b"\n\\c', "psi"] == 0.1


def test_before_the_first_run_there_is_no_sample():
    assert samples([]) == {}


def test_the_file_is_replaced_as_a_whole(tmp_path: Path):
    settings = Settings(home=tmp_path, state=tmp_path, lake=str(tmp_path), raw=tmp_path)
    write_metrics(settings, [found("drift", "gone", value=0.9)])

    path = write_metrics(settings, [found("drift", "pages", value=0.1)])

    assert path == tmp_path / "metrics" / "larder_monitor.prom" and list(path.parent.iterdir()) == [path]
    assert "gone" not in path.read_text() and path.read_text().endswith("\n")


def found(monitor: str, subject: str, *, value: float | None, verdict: Verdict = Verdict.OK, day: int = 0) -> Finding:
    at = START + day * DAY
    return Finding(at, at - DAY, at, monitor, subject, "psi", value, 0.25, verdict, "Seen.")


def samples(findings: list[Finding]) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(sample.labels[name] for name in ("monitor", "subject", "metric") if name in sample.labels)): (
            sample.value
        )
        for family in text_string_to_metric_families(exposition(findings))
        for sample in family.samples
    }
