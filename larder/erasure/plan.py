"""What an erasure will touch, and doing it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from larder.erasure import tables
from larder.erasure.online import OnlineRecords
from larder.erasure.raw_files import entry_of
from larder.erasure.subject import Subject
from larder.offline.history import History, history_of, source_history
from larder.offline.source import DeltaSource
from larder.offline.tables.delta_writing import is_table
from larder.versions.pins import name_of, place_of
from larder.versions.vacuum import Holders
from larder.views import stored_views

if TYPE_CHECKING:
    from feast import FeatureStore

GOLD = "gold/"
"""Begins the names of tables below the lake that hold windowed views."""


@dataclass(frozen=True)
class Erasure:
    """Whatever is stored about one subject. Tables are named below the lake, else by their place."""

    subject: Subject
    found: Mapping[str, tables.Found]
    """Tables with columns for all keys."""
    unnamed: Sequence[str]
    """Tables without."""
    others: Sequence[str]
    """What the registry knows and is no Delta table, and an online store that is not ours: not looked at."""
    records: Mapping[str, list[bytes]]
    """Redis keys by online view."""

    @property
    def due(self) -> list[str]:
        """Tables with something to do."""
        return [name for name, found in self.found.items() if found.is_due]

    @property
    def is_due(self) -> bool:
        return bool(self.due) or any(self.records.values())

    @property
    def raw_files(self) -> Counter[str]:
        """Rows by the raw file that they came from; a refused row stands in bronze and in quarantine."""
        return reduce(or_, (found.files for found in self.found.values()), Counter())

    def counts(self) -> dict[str, Any]:
        """For the record: how much, and not about whom."""
        return {
            "tables": {name: self.found[name].rows for name in self.due},
            "online": {view: len(keys) for view, keys in self.records.items() if keys},
        } | entry_of({item for found in self.found.values() for item in found.whole_files})


def erasure(
    store: "FeatureStore",
    subject: Subject,
    names: Iterable[str],
    online: OnlineRecords,
    *,
    lake: str,
) -> Erasure:
    """Looks through the tables `names`, those that the registry knows, and Redis; changes nothing."""
    histories = [*_registered(store)]
    delta = [item for item in histories if item.format == "delta"]
    known = {name_of(item.table, lake) for item in delta if is_table(item.table, item.storage_options)}
    found = {name: tables.found(place_of(name, lake), subject) for name in sorted({*names, *known})}
    return Erasure(
        subject,
        {name: item for name, item in found.items() if item is not None},
        [name for name, item in found.items() if item is None],
        [*sorted({history.table for history in histories if history.format != "delta"}), *online.others],
        online.of(subject),
    )


def _registered(store: "FeatureStore") -> Iterator[History]:
    """Gold, sources of views and of their windows, logs of feature services, saved datasets; some perhaps twice."""
    from feast import FileSource

    yield from (history_of(view, store.config) for view in stored_views(store))
    services = (service.logging_config for service in store.list_feature_services() if service.logging_config)
    kept = (*(config.destination for config in services), *(saved.storage for saved in store.list_saved_datasets()))
    for source in (*store.list_data_sources(), *(item.to_data_source() for item in kept)):
        if isinstance(source, DeltaSource | FileSource):
            yield source_history(source, store.config, keys=(), features=(), columns={})


def broken_pins(erasure: Erasure, held: Mapping[str, Holders], *, lake: str) -> list[str]:
    """Who pins a version that goes: data.lock, a checkout, registered models."""
    versions = [held.get(place_of(name, lake), {}) for name in erasure.due]
    return sorted({holder for by_version in versions for holders in by_version.values() for holder in holders})


def carry_out(erasure: Erasure, online: OnlineRecords, *, lake: str, done: Callable[[str], object]) -> dict[str, Any]:
    """What is left, for the record; `done` is called with each part of the work that ended.

    The tables come first: from them Redis could be filled again.
    """
    left = {}
    for name in erasure.due:
        left[name] = tables.erase(place_of(name, lake), erasure.subject)
        done(name)
    for view, keys in erasure.records.items():
        if keys:
            online.delete(keys)
            done(f"online view {view}")
    return {
        "tables": {name: {"version": table.version} for name, table in left.items()},
        "views": {name.removeprefix(GOLD): {"rows": left[name].rows} for name in left if name.startswith(GOLD)},
    }
