"""What the ledger keeps of a run that computed features."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from larder.compute.job import Materialized
from larder.ledger import Act, Entry, Ledger


def unrecorded_rows(ledger: Ledger, results: Sequence[Materialized]) -> dict[str, int]:
    """View -> rows that came to its gold, or left it, before this run and without an entry; reads the whole ledger.

    So a run that was cut off after its commit and before its entry is noticed by the next one.
    """
    told: dict[str, int | None] = {}
    for entry in ledger.entries(acts=(Act.FEATURES, Act.ERASURE)):
        told |= {view: written.get("rows") for view, written in entry.outcome.get("views", {}).items()}
    found = {item.view: (item.before, told.get(item.view, 0)) for item in results if item.position is not None}
    changes = {view: now - then for view, (now, then) in found.items() if now is not None and then is not None}
    return {view: rows for view, rows in changes.items() if rows}


def features_entry(
    ledger: Ledger, results: Sequence[Materialized], *, at: datetime, unrecorded: Mapping[str, int]
) -> Entry | None:
    """One entry for all views to which something was written; None, and no entry, where that is none.

    `unrecorded` is what `unrecorded_rows` found; these views are told of, too.
    """
    news = [result for result in results if result.is_news or result.view in unrecorded]
    if not news:
        return None
    reason = f"News for {', '.join(result.view for result in news)} up to {news[0].instant:%Y-%m-%d %H:%M:%S} UTC."
    if unrecorded:
        reason += (
            f" Rows of {', '.join(unrecorded)} had changed without an entry: a run was cut off before it was recorded, "
            "or something else wrote them."
        )
    return ledger.append(
        Act.FEATURES,
        "features",
        at=at,
        reason=reason,
        inputs={"until": news[0].instant, "events": {item.view: _events(item) for item in news if item.position}},
        outcome={"views": {item.view: _written(item, unrecorded.get(item.view)) for item in news}},
    )


def _events(result: Materialized) -> dict[str, Any]:
    """The table of events and its version, which gold now reflects."""
    assert result.position is not None
    return {"table": result.position.source, "version": result.position.source_version}


def _written(result: Materialized, unrecorded: int | None) -> dict[str, Any]:
    written = {
        "appended": result.appended,
        "pushed": result.pushed,
        "removed": result.removed,
        "quarantined": dict(result.quarantined),
    }
    if result.before is not None:
        written["rows"] = result.before + (result.appended or 0)
    return written if unrecorded is None else written | {"unrecorded": unrecorded}
