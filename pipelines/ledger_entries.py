"""What the ledger keeps of an ingestion."""

from datetime import datetime
from typing import Any

from deltalake import DeltaTable

from larder.contracts.settings import Settings
from larder.ledger import Act, Entry, Ledger
from pipelines.ingest import IngestionResult, TableResult


def ingestion_entry(ledger: Ledger, result: IngestionResult, settings: Settings, *, at: datetime) -> Entry | None:
    """One entry for all files and tables; None, and no entry, where nothing was new."""
    if not result.tables:
        return None
    files = len(result.new_files)
    return ledger.append(
        Act.INGESTION,
        "ingestion",
        at=at,
        reason=f"{files} new file{'' if files == 1 else 's'}." if files else "A run was completed that was cut off.",
        inputs={"files": result.new_files},
        outcome={"tables": {item.table: _written(item, settings) for item in result.tables}},
    )


def _written(item: TableResult, settings: Settings) -> dict[str, Any]:
    uri = f"{settings.lake.rstrip('/')}/{item.table}"
    return {
        "version": DeltaTable(uri).version() if DeltaTable.is_deltatable(uri) else None,  # all its rows were refused
        "new": item.new,
        "updated": item.updated,
        "quarantined": item.quarantined,
    }
