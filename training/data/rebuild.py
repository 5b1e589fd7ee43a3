"""A training set built again from what its run logged."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from larder.versions.pins import table_versions
from larder.whole_file import in_place_of
from training.data.record import Record
from training.data.training_set import TrainingData, TrainingSet

PART = "part"
"""Column of the written rows that says `train` or `test`."""


@dataclass(frozen=True)
class Rebuilt:
    record: Record
    data: TrainingSet

    @property
    def is_identical(self) -> bool:
        return self.data.lineage.data_hash == self.record.lineage.data_hash

    @property
    def causes(self) -> list[str]:
        """What else is not as it was, and so may be why the rows differ; the most probable first."""
        logged, now = self.record.lineage, self.data.lineage
        found = []
        if now.registry_hash != logged.registry_hash:
            found.append(
                f"the definitions behind feature service {logged.service!r} changed (registry hash "
                f"{logged.registry_hash[:12]} then, {now.registry_hash[:12]} now)"
            )
        if now.commit != logged.commit:
            found.append(f"the code changed (commit {logged.commit or 'none'} then, {now.commit or 'none'} now)")
        elif logged.commit and logged.commit.endswith("-dirty"):
            found.append(f"then and now files differ from commit {logged.commit.removesuffix('-dirty')}")
        return found or [
            "tables were deleted and written anew under the same versions, or a library computes otherwise"
        ]


def rebuild(record: Record, training_data: TrainingData) -> Rebuilt:
    """Read the logged versions of all tables, for the logged selection of labels.

    Neither the training file nor the clock is asked. Raises what `training_set` raises, MissingTableError among it
    when a version is gone.
    """
    with table_versions(record.lineage.tables):
        return Rebuilt(record, training_data(record.labels))


def write_rows(data: TrainingSet, path: Path) -> None:
    """Write train rows, then test rows, as Parquet, whole or not at all."""
    parts = [
        rows.append_column(PART, pa.array([name] * rows.num_rows, pa.string()))
        for name, rows in (("train", data.train), ("test", data.test))
    ]
    with in_place_of(path) as partial:
        pq.write_table(pa.concat_tables(parts), partial, compression="zstd")
