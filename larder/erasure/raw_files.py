"""Raw files that an erasure took out of bronze with all their rows: they must not be ingested again."""

from collections.abc import Iterable
from typing import Any

from larder.ledger import Act, Ledger

FILES = "files"
"""In the ledger's entry of an erasure: content hashes of raw files that held rows of nobody else."""


def entry_of(content_hashes: Iterable[str]) -> dict[str, Any]:
    """What an erasure's entry says of them; nothing where there are none."""
    hashes = sorted(content_hashes)
    return {FILES: hashes} if hashes else {}


def erased_files(ledger: Ledger) -> set[str]:
    """Their content hashes, of all erasures."""
    return {item for entry in ledger.entries(acts=(Act.ERASURE,)) for item in entry.inputs.get(FILES, ())}
