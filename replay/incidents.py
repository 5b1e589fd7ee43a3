"""What goes wrong in a replay, declared in a TOML file: one `[[incident]]` each."""

import tomllib
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.ingestion import Ingestion, RawTable

KINDS = {
    "feed_stops": ("table",),
    "wrong_unit": ("table", "columns", "factor"),
    "shift": ("table", "columns", "add"),
    "repeated_files": ("table",),
    "flipped_labels": ("share",),
    "view_stops": ("view",),
    "skew": ("view", "hours"),
}
"""Kind -> the fields that it needs beside `kind`, `start` and `end`."""


class Incident(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that goes wrong in [start, end)."""

    kind: str
    """feed_stops: rows of `table` that would arrive then arrive at `end`, all at once.
    wrong_unit, shift: numbers in `columns` are multiplied by `factor`, or `add` is added, in rows `where` fits.
    repeated_files: what arrived then arrives once more at `end`, shuffled.
    flipped_labels: a share of the labels of predictions then are the opposite of what happened.
    view_stops: `view` is not materialized; serving keeps what it had.
    skew: serving computes `view` as if it knew what becomes known within `hours`, as a table keyed on a planned
    instant does."""
    start: datetime
    end: datetime
    table: str = ""
    """A raw table."""
    columns: tuple[str, ...] = ()
    """Of the raw table."""
    where: dict[str, str] = {}
    """Raw column -> the text that it must hold; empty means all rows."""
    factor: float = 1.0
    add: float = 0.0
    share: float = 1.0
    """Of the rows or labels concerned, chosen by a hash of `seed` and their place."""
    view: str = ""
    hours: float = 0.0
    detected_by: tuple[str, ...] = ()
    """Monitors of which one must raise an alarm, for the report; empty means any."""
    seed: int = 0

    @property
    def name(self) -> str:
        of = self.table or self.view
        return f"{self.kind}{f' of {of}' if of else ''} from {self.start:%d %b}"

    def is_under_way(self, at: datetime) -> bool:
        return self.start <= at < self.end


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    incident: tuple[Incident, ...] = ()


def read_incidents(path: Path) -> tuple[Incident, ...]:
    """The incidents of a file, by start. Raises ConfigurationError for a file that is absent or says nonsense."""
    if not path.is_file():
        raise ConfigurationError(f"There is no file {path} with incidents. Correct --incidents, or leave it out.")
    try:
        incidents = msgspec.convert(tomllib.loads(path.read_text()), _File).incident
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as problem:
        raise ConfigurationError(f"{path} cannot be read as incidents: {problem}. See docs/retraining.md.") from problem
    for incident in incidents:
        _check(incident, path)
    return tuple(sorted(incidents, key=lambda item: item.start))


def require_meant(incidents: Sequence[Incident], ingestion: Ingestion, views: Collection[str]) -> None:
    """Raises ConfigurationError for an incident that would do nothing, since what it names is not there."""
    tables = {raw.name: raw for raw in ingestion.raw}
    for incident in incidents:
        if incident.view and incident.view not in views:
            raise ConfigurationError(
                f"Incident {incident.name!r}: there is no view {incident.view!r}; there are {', '.join(sorted(views))}."
            )
        if incident.table and incident.table not in tables:
            raise ConfigurationError(
                f"Incident {incident.name!r}: there is no raw table {incident.table!r}; there are {', '.join(tables)}."
            )
        if incident.table:
            _require_hit(incident, tables[incident.table])


def _require_hit(incident: Incident, raw: RawTable) -> None:
    if raw.arrives_at is None:
        raise ConfigurationError(
            f"Incident {incident.name!r}: raw table {raw.name!r} does not say when its rows arrive, so all are there "
            "from the beginning, and nothing can befall them. Declare its arrives_at in the pipelines file."
        )
    columns = [column.name for column in raw.columns]
    unknown = sorted({*incident.columns, *incident.where} - set(columns))
    if unknown:
        raise ConfigurationError(
            f"Incident {incident.name!r}: raw table {raw.name!r} has no column {', '.join(unknown)}; it has "
            f"{', '.join(columns)}."
        )


def of_kind(incidents: Sequence[Incident], *kinds: str) -> list[Incident]:
    return [item for item in incidents if item.kind in kinds]


def changed_text(text: str | None, incident: Incident) -> str | None:
    """A raw number as the incident leaves it; what is no number stays."""
    try:
        value = float(text or "")
    except ValueError:
        return text
    return f"{value * incident.factor + incident.add:g}"


def _check(incident: Incident, path: Path) -> None:
    if incident.kind not in KINDS:
        raise ConfigurationError(f"{path}: there is no incident {incident.kind!r}; possible are {', '.join(KINDS)}.")
    defaults = Incident("", incident.start, incident.end)
    lacking = [name for name in KINDS[incident.kind] if getattr(incident, name) == getattr(defaults, name)]
    lacking = [name for name in lacking if name != "share"]
    if lacking:
        raise ConfigurationError(f"{path}: incident {incident.kind!r} lacks {', '.join(lacking)}.")
    if incident.start.tzinfo is None or incident.end.tzinfo is None:
        raise InvalidDataError(
            f"{path}: incident {incident.kind!r} has a time without a zone; write 2013-06-01T00:00:00Z."
        )
    if incident.start >= incident.end:
        raise ConfigurationError(f"{path}: incident {incident.kind!r} ends at {incident.end}, before it starts.")
    if not 0 < incident.share <= 1:
        raise ConfigurationError(f"{path}: share is {incident.share}; it must be above 0 and at most 1.")
