"""Typed rows: text becomes numbers, instants and dates as declared, and each misfit gets a reason.

A reason is a struct (column, value, reason); a row without reasons is valid.
"""

from collections.abc import Sequence
from dataclasses import replace

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from larder.contracts.ingestion import BRONZE_COLUMNS, Check, Column, RawTable

RECORD, REASONS = "_record", "_reasons"

SPARK_TYPES = {
    "string": "string",
    "int64": "bigint",
    "float64": "double",
    "bool": "boolean",
    "date": "date",
    "timestamp": "timestamp",
}
# Spark's casts also accept "1 day", "2013", "NaN" or a naive time; a declared type means exactly these forms.
_FORMS = {
    "int64": (r"^[+-]?\d+$", "is no whole number"),
    "float64": (r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$", "is no number"),
    "bool": (r"^(?i:true|false)$", "is neither true nor false"),
    "date": (r"^\d{4}-\d\d-\d\d$", "is no date like 2013-12-28"),
    "timestamp": (
        r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$",
        "is no instant with its offset, like 2013-12-28T17:00:00Z",
    ),
}


def typed_rows(bronze: DataFrame, table: RawTable) -> DataFrame:
    """What bronze adds, the declared columns with their types, the raw texts as struct `_record`, and `_reasons`.

    A value that does not fit is null.
    """
    raw = {column.name: _text(column.name, table.null_values) for column in table.columns}
    typed = {column.name: _parsed(raw[column.name], column) for column in table.columns}
    parsed = bronze.select(
        *BRONZE_COLUMNS,
        F.struct(*(raw[name].alias(name) for name in raw)).alias(RECORD),
        *(typed[name].alias(name) for name in typed),
    )
    required = [replace(column, nullable=column.nullable and column.name not in table.key) for column in table.columns]
    misfits = [
        _reason(
            "malformed_record",
            F.substring("malformed_record", 1, 200),
            F.lit("does not have one value for each column of its file"),
            F.col("malformed_record").isNotNull(),
        ),
        *(misfit for column in table.columns for misfit in _form_misfits(column)),
        *(misfit for column in required for misfit in value_misfits(column, F.col(f"{RECORD}.`{column.name}`"))),
        *(_check_misfit(check) for check in table.checks),
    ]
    return parsed.withColumn(REASONS, found(misfits))


def value_misfits(column: Column, shown: SparkColumn) -> list[SparkColumn]:
    """Reasons, or null, for a typed column's value against null, range and allowed values."""
    value, name = F.col(f"`{column.name}`"), column.name
    misfits = []
    if not column.nullable:
        misfits.append(_reason(name, F.lit(None), F.lit("is missing"), shown.isNull()))
    if column.minimum is not None:
        misfits.append(_reason(name, shown, F.lit(f"is below {_shown(column.minimum)}"), value < column.minimum))
    if column.maximum is not None:
        misfits.append(_reason(name, shown, F.lit(f"is above {_shown(column.maximum)}"), value > column.maximum))
    if column.allowed is not None:
        text = f"is none of {', '.join(column.allowed)}"
        misfits.append(_reason(name, shown, F.lit(text), ~value.cast("string").isin(*column.allowed)))
    return misfits


def found(misfits: Sequence[SparkColumn]) -> SparkColumn:
    """The reasons that apply, in order; an empty array for a valid row."""
    if not misfits:
        return F.expr("cast(array() as array<struct<column:string,value:string,reason:string>>)")
    return F.filter(F.array(*misfits), lambda misfit: misfit.isNotNull())


def duplicate_misfit(key: Sequence[str], row_number: SparkColumn, is_duplicate: SparkColumn) -> SparkColumn:
    """The reason for a row that says something else than row `row_number` of its file about the same key."""
    value = F.concat_ws(", ", *(F.col(f"{RECORD}.`{name}`") for name in key))
    reason = F.concat(F.lit("has other content than row "), row_number.cast("string"), F.lit(" with the same key"))
    return _reason(", ".join(key), value, reason, is_duplicate)


def _shown(limit: float) -> str:
    """The limit to its last digit, whole numbers without a point."""
    return str(int(limit)) if float(limit).is_integer() and abs(limit) < 1e16 else repr(limit)


def _text(name: str, null_values: Sequence[str]) -> SparkColumn:
    value = F.col(f"`{name}`")
    return F.when(~value.isin("", *null_values), value)


def _parsed(text: SparkColumn, column: Column) -> SparkColumn:
    if column.dtype == "string":
        return text
    form, _ = _FORMS[column.dtype]
    value = F.when(text.rlike(form), text).try_cast(SPARK_TYPES[column.dtype])
    if column.dtype == "float64":
        return F.when(F.abs(value) < float("inf"), value)
    return value


def _form_misfits(column: Column) -> list[SparkColumn]:
    if column.dtype == "string":
        return []
    text = F.col(f"{RECORD}.`{column.name}`")
    is_misfit = text.isNotNull() & F.col(f"`{column.name}`").isNull()
    return [_reason(column.name, text, F.lit(_FORMS[column.dtype][1]), is_misfit)]


def _check_misfit(check: Check) -> SparkColumn:
    shown = F.col(f"{RECORD}.`{check.column}`")
    return _reason(check.column, shown, F.lit(check.reason), F.expr(f"NOT ({check.rule})"))


def _reason(name: str, value: SparkColumn, reason: SparkColumn, applies: SparkColumn) -> SparkColumn:
    described = F.struct(F.lit(name).alias("column"), value.cast("string").alias("value"), reason.alias("reason"))
    return F.when(applies, described)
