"""What materializing one view did, as Feast and as people want to know it."""

from dataclasses import dataclass
from datetime import datetime

from feast.infra.common.materialization_job import MaterializationJob, MaterializationJobStatus, MaterializationTask


@dataclass(frozen=True)
class Materialized:
    """One view brought up to an instant."""

    view: str
    instant: datetime
    """What serving knew at this instant is what the online store holds now, UTC."""
    appended: int | None
    """Rows added to gold; None for a view without windows."""
    pushed: int | None
    """Entities written online; None for a view that is not online."""
    seconds: float
    note: str = ""

    def __str__(self) -> str:
        parts = [] if self.appended is None else [f"{self.appended:,} rows appended to gold"]
        parts += [] if self.pushed is None else [f"{self.pushed:,} entities written online"]
        parts += [self.note] if self.note else []
        return f"{self.view}: {', '.join(parts) or 'nothing to do'} in {self.seconds:.1f} s"


class FinishedJob(MaterializationJob):
    """A job that ended well; what goes wrong is raised while it runs."""

    def __init__(self, task: MaterializationTask, result: Materialized) -> None:
        self.task = task
        self.result = result

    def status(self) -> MaterializationJobStatus:
        return MaterializationJobStatus.SUCCEEDED

    def error(self) -> BaseException | None:
        return None

    def should_be_retried(self) -> bool:
        return False

    def job_id(self) -> str:
        return f"{self.task.project}:{self.result.view}:{self.result.instant.isoformat()}"

    def url(self) -> str | None:
        return None
