"""Logged answers of a window beside the model whose training says what is usual."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.monitoring import Baseline
from larder.contracts.objective import CLASSIFICATION
from larder.contracts.plan import FeaturePlan

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ServedModel:
    """What a serving bundle says of its model."""

    version: str
    plan: FeaturePlan
    baseline: Baseline | None
    """None for bundles written before baselines were kept."""
    task: str = CLASSIFICATION


@dataclass(frozen=True)
class Answers:
    """Live answers, in order of time, of `model` and of earlier versions with the same inputs."""

    rows: pa.Table
    model: ServedModel

    @property
    def count(self) -> int:
        return int(self.rows.num_rows)

    @property
    def own(self) -> npt.NDArray[np.int64]:
        """Places of the rows that `model` itself gave."""
        return np.flatnonzero(pc.equal(self.rows["version"], self.model.version).to_numpy())


def field(rows: pa.Table, column: str, name: str) -> pa.ChunkedArray:
    """One field of a struct column, without a copy."""
    position = rows.schema.field(column).type.get_field_index(name)
    chunks = [chunk.field(position) for chunk in rows[column].chunks]
    return pa.chunked_array(chunks, rows.schema.field(column).type.field(position).type)


def tallied(lists: pa.ChunkedArray) -> dict[str, int]:
    """How often each name occurs in a column of lists of names; null counts as an empty list."""
    names = pc.list_flatten(lists)
    return {item["values"]: item["counts"] for item in pc.value_counts(names).to_pylist()}
