"""What materializing one view did, as Feast and as people want to know it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from feast.infra.common.materialization_job import MaterializationJob, MaterializationJobStatus, MaterializationTask

from larder.compute.refresh.gold import Refresh
from larder.offline.tables.gold import GoldPosition
from larder.push.run import PushReport

_LONG = timedelta(days=1)
"""A nightly run is usual; what takes longer is mostly a past being made up for."""


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
    removed: int = 0
    """Entities deleted online because the history has them no longer."""
    quarantined: Mapping[str, int] = field(default_factory=dict)
    """Rows newly set aside because no entity can be served from them, by reason."""
    position: GoldPosition | None = None
    """How far gold has come; None for a view without windows."""
    before: int | None = None
    """Rows that gold had before; None for a view without windows, and where its files do not say."""
    live_since: datetime | None = None
    """The run before: values of the time since then were nowhere to be served from, and count as known only from
    `instant` on. None for a backfill, for a view without windows, and where gold was current."""

    @property
    def is_news(self) -> bool:
        """Whether anything was written."""
        return bool(self.appended or self.pushed or self.removed or self.quarantined)

    def __str__(self) -> str:
        parts = [] if self.appended is None else [f"{self.appended:,} rows appended to gold"]
        parts += [] if self.pushed is None else [f"{self.pushed:,} entities written online"]
        parts += [f"{self.removed:,} removed"] if self.removed else []
        parts += [f"{rows:,} rows quarantined ({reason})" for reason, rows in sorted(self.quarantined.items())]
        parts += [self.note] if self.note else []
        return f"{self.view}: {', '.join(parts) or 'nothing to do'} in {self.seconds:.1f} s"


def materialized(
    view: str, instant: datetime, refresh: Refresh | None, push: PushReport | None, seconds: float
) -> Materialized:
    """`refresh` is None for a view without windows, `push` for one that is not online."""
    done = Materialized(view, instant, None, None, seconds)
    if refresh is not None:
        done = replace(
            done,
            appended=refresh.appended,
            position=refresh.position,
            before=refresh.before,
            live_since=refresh.live_since,
        )
    if push is not None:
        done = replace(done, pushed=push.written, note=push.note, removed=push.removed, quarantined=push.quarantined)
    return done


def unserved(results: Sequence[Materialized]) -> str:
    """What a long time without a run means for training, in one paragraph; empty when there was none."""
    waits = {view.view: view.instant - view.live_since for view in results if view.live_since is not None}
    late = [view for view, wait in waits.items() if wait > _LONG]
    if not late:
        return ""
    days = max(waits.values()) / timedelta(days=1)
    return (
        f"{', '.join(late)}: {days:.1f} days passed since the run before. Serving had its values all that time, and "
        "so training sees them for these days. Run this more often; or, where nobody was served and a run only makes "
        "up for the past, run `feast materialize START END` instead (docs/materialization.md)."
    )


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
