"""What the prediction log and the label table hold for one run of the monitors, each part read when first asked for."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.monitoring import Monitoring, Verdict
from larder.contracts.objective import PREDICTED, Objective
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.findings import About, read_findings
from larder.ledger import Act, ledger_of
from larder.predictions import LIVE, Judged, judged, live_counts, read_predictions
from monitoring.monitors.answers import Answers
from monitoring.monitors.freshness import AGE
from monitoring.monitors.skew import Run
from monitoring.monitors.volume import WEEKS
from monitoring.monitors.window import Window
from monitoring.served_models import has_inputs, other_question_of, served_model

_INPUTS = ("version", "request", "features", "missing", "stale")
_OUTPUTS = ("version", "request")


@dataclass(frozen=True)
class Logged:
    settings: Settings
    objective: Objective
    limits: Monitoring
    model: str
    now: datetime

    @property
    def window(self) -> Window:
        """Of the monitors of data and drift."""
        return Window.before(self.now, self.limits.window, run_at=self.now)

    @property
    def matured_window(self) -> Window:
        """Of the monitors of quality: answers that are all old enough.

        Younger ones with an outcome are left out: what is known early is not like the rest.
        """
        return Window.before(self.now - self.objective.label.matures_after, self.limits.quality_window, run_at=self.now)

    @cached_property
    def live(self) -> pa.Table:
        """All live answers of the window."""
        columns = [*_INPUTS, *PREDICTED.values()]  # each version's answers are in the column of its task
        return read_predictions(self._place, since=self.window.start, until=self.now, columns=columns, traffic=LIVE)

    @cached_property
    def answers(self) -> Answers | None:
        """Those with the inputs of the version that answered last; None without any."""
        if not self.live.num_rows:
            return None
        newest = served_model(self.bundle(self.live["version"][-1].as_py()))
        inputs = [column.name for column in newest.plan.columns]
        versions = pc.unique(self.live["version"]).to_pylist()
        alike = [version for version in versions if has_inputs(self.bundle(version), inputs)]
        if len(alike) == len(versions):
            return Answers(self.live, newest)  # no copy of what may be a gigabyte
        return Answers(self.live.filter(pc.is_in(self.live["version"], pa.array(alike))), newest)

    @property
    def earlier_counts(self) -> list[int]:
        """Live answers of the windows one to four weeks before, the oldest first."""
        return self._counts[:-1]

    @property
    def earlier_ages(self) -> dict[str, list[float]]:
        """View -> hours that its newest event was old in the runs of the four weeks before.

        An outage teaches nothing: what alarmed is left out. After four weeks of nothing else it is how things are.
        """
        ages: dict[str, list[float]] = defaultdict(list)
        place = Lake(self.settings.lake).monitoring(self.model)
        since = self.now - timedelta(weeks=WEEKS)
        for found in read_findings(place, since=since, until=self.now, about=[About("freshness", AGE)]):
            if found.value is not None and found.verdict is Verdict.OK and found.window_end < self.now:
                ages[found.subject].append(found.value)
        return ages

    @cached_property
    def matured(self) -> Judged:
        """Answers of `matured_window`, live and shadow, to what is asked now, with their outcomes as known now."""
        window = self.matured_window
        columns = [*_OUTPUTS, PREDICTED[self.objective.task]]
        logged = read_predictions(self._place, since=window.start, until=window.end, columns=columns)
        rows = self.to_the_point(logged)
        labels = Lake(self.settings.lake).labels(self.objective.label.table)
        others = [part.column for part in self.objective.slices]
        return judged(rows, labels, self.objective.label.column, now=self.now, others=others)

    def to_the_point(self, rows: pa.Table) -> pa.Table:
        """The rows of versions that answered what is asked now: the use case may have asked another question before."""
        versions = pc.unique(rows["version"]).to_pylist()
        meant = [version for version in versions if not other_question_of(self.bundle(version), self.objective)]
        predicted = PREDICTED[self.objective.task]
        if predicted not in rows.column_names:  # so far all answers were of the other task
            rows = rows.append_column(predicted, pa.nulls(rows.num_rows, pa.float64()))
        # Null stands for an answer that was no finite number; it has no error that could be counted.
        chosen = pc.and_(pc.is_in(rows["version"], pa.array(meant, pa.string())), pc.is_finite(rows[predicted]))
        return rows.filter(chosen)

    @cached_property
    def other_question(self) -> str:
        """What the version that answered last answers instead of what is asked, in words; empty where it does not."""
        if not self.live.num_rows:
            return ""
        return other_question_of(self.bundle(self.live["version"][-1].as_py()), self.objective)

    @property
    def pending(self) -> int:
        """Live answers too young to have an outcome."""
        return self._counts[-1]

    @property
    def runs(self) -> list[Run]:
        """Of materialization, as the ledger tells; those that ended in the window."""
        entries = ledger_of(self.settings).entries(acts=(Act.FEATURES,))
        return [
            Run(datetime.fromisoformat(entry.inputs["until"]), entry.at)
            for entry in entries
            if self.window.start < entry.at <= self.now
        ]

    def bundle(self, version: str) -> Path:
        return self.settings.bundles / self.model / version

    @cached_property
    def _counts(self) -> list[int]:
        """Of `earlier_counts` and `pending`, in one scan."""
        weeks = [timedelta(weeks=count) for count in range(WEEKS, 0, -1)]
        earlier = [(self.window.start - week, self.now - week) for week in weeks]
        return live_counts(self._place, [*earlier, (self.matured_window.end, self.now)])

    @property
    def _place(self) -> str:
        return Lake(self.settings.lake).predictions(self.model)
