"""Whom to erase, as stored rows name it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from larder.contracts.errors import ConfigurationError
from larder.offline.history import history_of
from larder.views import stored_views

if TYPE_CHECKING:
    from feast import FeatureStore

_REFUSED_ROWS = {"source_file", "reason", "record"}
"""Columns of a quarantine table, whose `record` holds a raw row as JSON."""


@dataclass(frozen=True)
class Key:
    """A join key with the value that stands for the subject."""

    name: str
    value: str | int
    columns: frozenset[str]
    """Names that it has in tables, its own among them."""


@dataclass(frozen=True)
class Subject:
    """One entity: rows belong to it that have the values of all keys."""

    keys: tuple[Key, ...]

    def condition(self, schema: pa.Schema) -> str | None:
        """SQL that is true for the subject's rows; None where the table has no column for one of the keys."""
        if set(schema.names) >= _REFUSED_ROWS:
            found = [[_in_record(column, key.value) for column in sorted(key.columns)] for key in self.keys]
        else:
            columns = list(_columns(schema))
            found = [
                [_equal(sql, dtype, key) for name, sql, dtype in columns if name in key.columns] for key in self.keys
            ]
        return " AND ".join(f"({' OR '.join(each)})" for each in found) if all(found) else None


def subject(store: "FeatureStore", values: Mapping[str, str], aliases: Mapping[str, Sequence[str]]) -> Subject:
    """`values` by join key of the registry's entities, as text; `aliases` are columns that hold the same key.

    Raises ConfigurationError for a name that is no join key, and for a value that the key cannot have.
    """
    entities = {entity.join_key: entity for entity in store.list_entities()}
    for name in (*values, *aliases):
        if name not in entities:
            raise ConfigurationError(
                f"{name!r} is no join key of the feature repository; its join keys are {sorted(entities)}. Name the "
                "subject by these, and columns that hold the same under another name with --alias KEY=COLUMN."
            )
    unused = sorted(set(aliases) - set(values))
    if unused:
        raise ConfigurationError(f"--alias names {unused}, but only {sorted(values)} are to be erased. Give a value.")
    names = _renamed(store)
    return Subject(
        tuple(
            Key(
                name,
                _value(name, text, entities[name].value_type.name),
                frozenset({name, *aliases.get(name, ()), *(own[name] for own in names if name in own)}),
            )
            for name, text in values.items()
        )
    )


def _renamed(store: "FeatureStore") -> list[Mapping[str, str]]:
    """Join key -> the name that it has in a source, or in requests to a feature service."""
    sources = [history_of(view, store.config).columns for view in stored_views(store)]
    requests = [
        projection.join_key_map
        for service in store.list_feature_services()
        for projection in service.feature_view_projections
    ]
    return [*sources, *requests]


def _value(name: str, text: str, dtype: str) -> str | int:
    if dtype == "STRING" and text:
        return text
    if dtype in ("INT32", "INT64"):
        try:
            return int(text)
        except ValueError:
            pass
    elif dtype != "STRING":
        raise ConfigurationError(
            f"Join key {name!r} is of type {dtype}; entities can be erased by keys of the types STRING, INT32, INT64."
        )
    raise ConfigurationError(f"{text!r} is no value of join key {name!r}, which is of type {dtype}. Correct it.")


def _columns(schema: pa.Schema) -> Iterator[tuple[str, str, pa.DataType]]:
    """Name, SQL and type of each column, and of each field of a struct, such as the request of a logged answer."""
    for column in schema:
        sql = '"' + column.name.replace('"', '""') + '"'
        yield column.name, sql, column.type
        if pa.types.is_struct(column.type):
            for part in column.type:
                yield part.name, f"get_field({sql}, {_quoted(part.name)})", part.type


def _equal(sql: str, dtype: pa.DataType, key: Key) -> str:
    is_text = _is_text(dtype)
    if isinstance(key.value, str):
        return f"{sql if is_text else f'CAST({sql} AS VARCHAR)'} = {_quoted(key.value)}"
    return _is_written(sql, key.value) if is_text else f"{sql} = {key.value}"


def _is_written(sql: str, number: int, *, before: str = "^", after: str = "$") -> str:
    """Raw files write one whole number in several ways. Not by a cast: deltalake cannot put TRY_CAST into a commit."""
    sign = {-1: "-", 0: "[+-]?", 1: "[+]?"}[(number > 0) - (number < 0)]
    return f"regexp_like({sql}, {_quoted(f'{before} *{sign}0*{abs(number)} *{after}')})"


def _is_text(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype))


def _in_record(column: str, value: str | int) -> str:
    # Every value of a raw row is kept as a text.
    if isinstance(value, int):
        return _is_written('"record"', value, before=f'{re.escape(_json(column))}:"', after='"')
    return f'strpos("record", {_quoted(f"{_json(column)}:{_json(value)}")}) > 0'


def _json(text: str) -> str:
    """As Spark writes it: only quotes, backslashes and control characters are escaped."""
    return json.dumps(text, ensure_ascii=False)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
