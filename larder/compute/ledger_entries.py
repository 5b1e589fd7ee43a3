"""What the ledger keeps of a run that computed features."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from larder.compute.job import Materialized
from larder.ledger import Act, Entry, Ledger


def features_entry(ledger: Ledger, results: Sequence[Materialized], *, at: datetime) -> Entry | None:
    """One entry for all views to which something was written; None, and no entry, where that is none."""
    news = [result for result in results if result.is_news]
    if not news:
        return None
    return ledger.append(
        Act.FEATURES,
        "features",
        at=at,
        reason=f"News for {', '.join(result.view for result in news)} up to {news[0].instant:%Y-%m-%d %H:%M:%S} UTC.",
        inputs={"until": news[0].instant, "events": {item.view: _events(item) for item in news if item.position}},
        outcome={"views": {item.view: _written(item) for item in news}},
    )


def _events(result: Materialized) -> dict[str, Any]:
    """The table of events and its version, which gold now reflects."""
    assert result.position is not None
    return {"table": result.position.source, "version": result.position.source_version}


def _written(result: Materialized) -> dict[str, Any]:
    return {
        "appended": result.appended,
        "pushed": result.pushed,
        "removed": result.removed,
        "quarantined": dict(result.quarantined),
    }
