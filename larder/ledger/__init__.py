"""The decision ledger: what was ingested, trained, judged, decided, promoted and rolled back, when, by whom and why."""

from larder.ledger.entry import Act, Entry
from larder.ledger.file import Ledger, ledger_of

__all__ = ["Act", "Entry", "Ledger", "ledger_of"]
