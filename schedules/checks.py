"""Checks of assets: the verdict of each monitor, online against offline values, and the ledger's chain."""

from collections.abc import Iterator, Sequence

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey, asset_check, multi_asset_check

from larder.contracts.monitoring import MONITORS, Finding, Verdict
from larder.contracts.settings import load_settings
from schedules.findings import newest_findings
from schedules.steps import STEP, Step, run


@multi_asset_check(specs=[AssetCheckSpec(name, asset="monitoring") for name in MONITORS])
def verdicts() -> Iterator[AssetCheckResult]:
    """What each monitor said in the newest run."""
    findings = newest_findings(load_settings())
    for monitor in MONITORS:
        yield monitor_result(monitor, findings)


def monitor_result(monitor: str, findings: Sequence[Finding]) -> AssetCheckResult:
    """Passed when all of the monitor's findings are ok; what it could not tell is a warning, an alarm an error."""
    own = [finding for finding in findings if finding.monitor == monitor]
    alarms = [finding for finding in own if finding.verdict is Verdict.ALARM]
    unknown = [finding for finding in own if finding.verdict is Verdict.UNKNOWN]
    worst = next(iter(alarms or unknown), None)
    return AssetCheckResult(
        check_name=monitor,
        asset_key="monitoring",
        passed=bool(own) and worst is None,
        severity=AssetCheckSeverity.ERROR if alarms else AssetCheckSeverity.WARN,
        description=f"{worst.subject}: {worst.evidence}" if worst else "" if own else "The monitor found nothing.",
        metadata={"findings": len(own), "alarms": len(alarms), "cannot tell": len(unknown)},
    )


@asset_check(asset="features")
def online_equals_offline() -> AssetCheckResult:
    """A sample of online values is compared with what training would read."""
    return _command_result(STEP["verify"])


@asset_check(asset=AssetKey(["model", "champion"]))
def decisions_are_whole() -> AssetCheckResult:
    """No entry of the decision ledger was changed or removed."""
    return _command_result(Step("ledger", ("ledger", "verify"), cron=""))


def _command_result(step: Step) -> AssetCheckResult:
    done = run(step)
    return AssetCheckResult(passed=done.code == 0, description=done.conclusion)
