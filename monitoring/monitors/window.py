"""The stretch of time that a monitor looks at, and the findings that it makes there."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from larder.contracts.monitoring import Finding, Verdict


@dataclass(frozen=True)
class Window:
    """(start, end], looked at when the clock stood at `run_at`. All UTC."""

    start: datetime
    end: datetime
    run_at: datetime

    @classmethod
    def before(cls, end: datetime, length: timedelta, *, run_at: datetime) -> "Window":
        return cls(end - length, end, run_at)

    def judged(
        self, monitor: str, subject: str, metric: str, value: float, limit: float, verdict: Verdict, evidence: str
    ) -> Finding:
        return Finding(
            self.run_at, self.start, self.end, monitor, subject, metric, float(value), float(limit), verdict, evidence
        )

    def reported(self, monitor: str, subject: str, metric: str, value: float, evidence: str) -> Finding:
        """A number that nobody judges."""
        return Finding(
            self.run_at, self.start, self.end, monitor, subject, metric, float(value), None, Verdict.OK, evidence
        )

    def unknown(self, monitor: str, subject: str, metric: str, evidence: str) -> Finding:
        return Finding(
            self.run_at, self.start, self.end, monitor, subject, metric, None, None, Verdict.UNKNOWN, evidence
        )


def verdict_of(is_alarm: bool) -> Verdict:
    return Verdict.ALARM if is_alarm else Verdict.OK
