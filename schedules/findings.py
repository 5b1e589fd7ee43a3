"""The findings of monitors, as monitoring stored them."""

from datetime import timedelta

from larder.contracts.monitoring import Finding
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.contracts.use_case import use_case_name
from larder.findings import read_findings


def newest_findings(settings: Settings) -> list[Finding]:
    """Those of the newest run of the last week; empty when there was none."""
    place, now = Lake(settings.lake).monitoring(use_case_name(settings)), settings.clock()
    findings = read_findings(place, until=now, since=now - timedelta(days=7))
    newest = max((finding.run_at for finding in findings), default=None)
    return [finding for finding in findings if finding.run_at == newest]
