"""A view's windows as the kernel computes them; free of Feast, which a Spark task should not have to import."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import msgspec
import pyarrow as pa

FUNCTIONS = ("sum", "count", "mean", "min", "max", "stddev", "count_distinct", "last")


@dataclass(frozen=True)
class WindowFeature:
    """One function of one column over one window."""

    name: str
    column: str
    function: str
    window: int
    """Length in slides."""
    dtype: pa.DataType


@dataclass(frozen=True)
class WindowDefinition:
    """All windows of a feature view."""

    view: str
    keys: Mapping[str, pa.DataType]
    """Type of each join key, by name."""
    timestamp: str
    """Column with the instant from which an event counts."""
    slide: int
    """Microseconds between grid instants, which are its multiples from the epoch."""
    features: tuple[WindowFeature, ...]
    """By name."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the source that the functions read, each once."""
        return tuple(dict.fromkeys(feature.column for feature in self.features))

    def renamed(self, columns: Mapping[str, str]) -> dict[str, str]:
        """Of `columns`, name in the view -> column of the source, those that the windows read and that differ."""
        read = sorted({*self.keys, self.timestamp, *self.columns})
        return {name: columns[name] for name in read if columns.get(name, name) != name}

    def features_of(self, column: str) -> tuple[WindowFeature, ...]:
        """Those that read this column, by name."""
        return tuple(feature for feature in self.features if feature.column == column)

    @property
    def fingerprint(self) -> str:
        """Changes with everything that changes values; not with descriptions."""
        return hashlib.sha256(msgspec.json.encode(asdict(self), enc_hook=str)).hexdigest()[:16]
