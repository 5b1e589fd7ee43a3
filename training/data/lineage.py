"""What a training set was made of, as hashes and versions: enough to rebuild it and to see a difference."""

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.json_format import MessageToDict

from training.data.labels import LabelSelection

if TYPE_CHECKING:
    from feast import FeatureStore

_CHANGES_BY_ITSELF = ("body", "createdTimestamp", "lastUpdatedTimestamp")


@dataclass(frozen=True)
class Lineage:
    service: str
    """Feature service through which the features came."""
    tables: dict[str, int]
    """Delta version of every table read: name -> version."""
    data_hash: str
    registry_hash: str
    commit: str | None
    """Git commit of the project; None outside a repository."""
    labels: LabelSelection | None = None
    """Which labels were taken; None for what was logged before this was kept."""


def data_hash(rows: pa.Table) -> str:
    """SHA-256 of the values, names, types and row order; chunks, buffers and metadata do not count."""
    digest = hashlib.sha256()
    for name in rows.column_names:
        column = rows[name]
        digest.update(msgspec.json.encode([name, str(column.type), len(column)]))
        for part in _bytes_of(column):
            digest.update(part)
    return digest.hexdigest()


def registry_hash(store: "FeatureStore", service: str) -> str:
    """SHA-256 of the registered definitions behind a feature service; the times of `feast apply` do not count."""
    definition = store.get_feature_service(service)
    names = sorted(projection.name for projection in definition.feature_view_projections)
    views = [store.registry.get_any_feature_view(name, store.project) for name in names]
    entities = sorted(store.list_entities(), key=lambda entity: entity.name)
    used = {name for view in views for name in getattr(view, "entities", [])}
    specs = [view.to_proto().spec for view in views]
    specs += [entity.to_proto().spec for entity in entities if entity.name in used]
    # The order of a service's features is that of the model's inputs; it counts.
    ordered = definition.to_proto().spec.SerializeToString(deterministic=True)
    unordered = [_canonical(MessageToDict(spec)) for spec in specs]
    return hashlib.sha256(ordered + msgspec.json.encode(unordered)).hexdigest()


def _canonical(part: Any) -> Any:
    """What a definition says: Feast 0.67 hands fields and aggregations back in an order that changes from process to
    process, the bytes of a function beside its text likewise, and its sources with the times at which they were read.
    """
    if isinstance(part, dict):
        return {name: _canonical(part[name]) for name in sorted(part) if name not in _CHANGES_BY_ITSELF}
    if isinstance(part, list):
        return sorted((_canonical(item) for item in part), key=msgspec.json.encode)
    return part


def commit(home: Path) -> str | None:
    """Commit that `home` is at, with `-dirty` when files differ from it; None where git knows none."""
    described = _git(home, "rev-parse", "HEAD")
    if not described:
        return None
    return described + ("-dirty" if _git(home, "status", "--porcelain", "--untracked-files=no") else "")


def _git(home: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(home), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _bytes_of(column: pa.ChunkedArray) -> list[bytes]:
    """Nulls, then values with a fixed stand-in for null, whose memory Arrow leaves undefined."""
    nulls = np.packbits(column.is_null().to_numpy()).tobytes()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        filled = pc.fill_null(column.cast(pa.large_string()), "")
        lengths = pc.binary_length(filled).to_numpy().astype("<i8").tobytes()
        return [nulls, lengths, "".join(filled.to_pylist()).encode()]
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    return [nulls, np.ascontiguousarray(pc.fill_null(column, 0).to_numpy()).tobytes()]
