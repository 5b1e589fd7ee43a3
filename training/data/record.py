"""What an MLflow run keeps of its training set, so that it can be rebuilt: parameters and tags, and back again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from larder.contracts.errors import InvalidDataError
from larder.contracts.lineage import TABLES_TAG, decoded_tables, encoded_tables
from training.data.labels import LabelSelection
from training.data.lineage import Lineage

_LIMITS = ("train_from", "train_until")
"""Fields of the selection that may be None."""


@dataclass(frozen=True)
class Record:
    """A training set as its run logged it."""

    name: str
    """The run, as a person named it."""
    lineage: Lineage
    labels: LabelSelection


def label_parameters(selection: LabelSelection) -> dict[str, str]:
    """For MLflow, which lets nobody change a parameter afterwards."""
    limits = {name: getattr(selection, name) for name in _LIMITS}
    return {name: limit.isoformat() for name, limit in limits.items() if limit is not None} | {
        "split_at": selection.split_at.isoformat(),
        "test_until": selection.test_until.isoformat(),
        "labels_known_by": selection.known_by.isoformat(),
        "label_table": selection.table,
        "label_column": selection.column,
        "label_others": msgspec.json.encode(selection.others).decode(),
    }


def lineage_tags(lineage: Lineage) -> dict[str, str]:
    return {
        TABLES_TAG: encoded_tables(lineage.tables),
        "larder.service": lineage.service,
        "larder.data_hash": lineage.data_hash,
        "larder.registry_hash": lineage.registry_hash,
        "larder.commit": lineage.commit or "",
    }


def record(name: str, parameters: Mapping[str, str], tags: Mapping[str, str]) -> Record:
    """What `label_parameters` and `lineage_tags` wrote. Raises InvalidDataError when the run lacks some of it."""
    try:
        selection = LabelSelection(
            table=parameters["label_table"],
            column=parameters["label_column"],
            others=msgspec.json.decode(parameters["label_others"], type=tuple[str, ...]),
            split_at=datetime.fromisoformat(parameters["split_at"]),
            test_until=datetime.fromisoformat(parameters["test_until"]),
            known_by=datetime.fromisoformat(parameters["labels_known_by"]),
            # Absent where all labels were taken, and in runs of older releases, which always took all.
            **{name: datetime.fromisoformat(parameters[name]) for name in _LIMITS if name in parameters},
        )
        lineage = Lineage(
            service=tags["larder.service"],
            tables=decoded_tables(tags[TABLES_TAG], where=f"The run of {name}"),
            data_hash=tags["larder.data_hash"],
            registry_hash=tags["larder.registry_hash"],
            commit=tags["larder.commit"] or None,
            labels=selection,
        )
    except KeyError as problem:
        raise InvalidDataError(
            f"The run of {name} does not say {problem}, so its training set cannot be rebuilt: it was logged by an "
            "older release or not by `larder train`. Train again; runs from now on can be rebuilt."
        ) from None
    except (ValueError, msgspec.MsgspecError) as problem:
        raise InvalidDataError(
            f"The run of {name} says something about its training set that cannot be read: {problem}."
        ) from None
    return Record(name, lineage, selection)
