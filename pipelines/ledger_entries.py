"""What the ledger keeps of an ingestion."""

from datetime import datetime
from typing import Any

from larder.contracts.ingestion import Ingestion
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.ledger import Act, Entry, Ledger
from larder.offline.tables.delta_table import open_table
from larder.versions.pins import name_of
from pipelines.delta import exists
from pipelines.ingest import IngestionResult, TableResult, place


def ingestion_entry(
    ledger: Ledger, ingestion: Ingestion, result: IngestionResult, settings: Settings, *, at: datetime
) -> Entry | None:
    """One entry for all files and tables; None, and no entry, where nothing was new and all is on record."""
    files = len(result.new_files)
    reasons = [f"{files} new file{'' if files == 1 else 's'}."] if files else []
    tables = {item.table: _written(item, settings) for item in result.tables}
    if tables and not files:
        reasons = ["A run was completed that was cut off."]
    unrecorded = {name: at for name, at in _unrecorded(ledger, ingestion, settings).items() if name not in tables}
    if unrecorded:
        reasons.append(
            f"{'Other tables' if tables else 'Tables'} stand at versions that no entry tells of: a run was cut off "
            "before it was recorded, or something else wrote them."
        )
    tables |= unrecorded
    if not tables:
        return None
    inputs = {"files": result.new_files}
    return ledger.append(
        Act.INGESTION, "ingestion", at=at, reason=" ".join(reasons), inputs=inputs, outcome={"tables": tables}
    )


def _written(item: TableResult, settings: Settings) -> dict[str, Any]:
    return {
        "version": _version(item.table, settings),  # None where all rows of a first file were refused
        "new": item.new,
        "updated": item.updated,
        "quarantined": item.quarantined,
    }


def _unrecorded(ledger: Ledger, ingestion: Ingestion, settings: Settings) -> dict[str, Any]:
    """Table -> its version, for those whose version is not the one that the ledger tells."""
    recorded: dict[str, int | None] = {}
    for entry in ledger.entries(acts=(Act.INGESTION, Act.ERASURE)):
        recorded |= {name: table["version"] for name, table in entry.outcome.get("tables", {}).items()}
    lake = Lake(settings.lake)
    places = [*(lake.bronze(raw.name) for raw in ingestion.raw), *(place(table, lake) for table in ingestion.tables)]
    names = [name_of(uri, settings.lake) for uri in places]
    versions = {name: _version(name, settings) for name in names}
    return {name: {"version": version} for name, version in versions.items() if version != recorded.get(name)}


def _version(table: str, settings: Settings) -> int | None:
    uri = f"{settings.lake.rstrip('/')}/{table}"
    return open_table(uri).version() if exists(uri) else None
