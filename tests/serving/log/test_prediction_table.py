"""Records of a spool in a real Delta table: each once, however often they are stored."""

import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from larder.contracts.plan import Column, FeaturePlan
from larder.erasure.subject import Key, Subject
from larder.erasure.tables import erase
from larder.versions.expiry import expire
from serving.log.prediction_log import LoggedAnswer, delta_writer, description, entry
from serving.log.prediction_table import PredictionTable
from serving.log.spool import Record
from serving.models.model import Model
from tests.serving.conftest import AT, PREDICTION, REQUEST, VALUES


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "my lake" / "predictions")


def _answer(model: Model, name: str, values: list[Any] = VALUES) -> LoggedAnswer:
    return LoggedAnswer(name, AT, model, [REQUEST], [values], [PREDICTION])


def _records(*answers: LoggedAnswer, after: int = 0) -> list[Record]:
    encode = msgspec.msgpack.encode
    return [Record(encode(entry(a)), encode(description(a)), after + i) for i, a in enumerate(answers, start=1)]


def _with_pages(model: Model, dtype: str) -> Model:
    """The model with one feature alone."""
    columns = (Column("pages", "books", "pages", dtype),)
    return replace(model, plan=msgspec.structs.replace(model.plan, columns=columns))


def _ids(place: str) -> list[str]:
    return sorted(DeltaTable(place).to_pyarrow_table()["answer_id"].to_pylist())


def test_a_spooled_row_is_the_row_that_is_written_directly(model: Model, tmp_path: Path, place: str):
    answer = _answer(model, "a")
    PredictionTable(place).store("spool", _records(answer))
    delta_writer(str(tmp_path / "direct"))([answer])

    spooled, direct = (DeltaTable(table) for table in (place, str(tmp_path / "direct")))

    assert spooled.to_pyarrow_table().equals(direct.to_pyarrow_table())
    assert spooled.schema() == direct.schema()
    assert spooled.metadata().configuration == direct.metadata().configuration


def test_records_are_stored_once_by_whoever_stores_them_again(model: Model, place: str):
    records = _records(*(_answer(model, name) for name in "abc"))
    table = PredictionTable(place)

    table.store("spool", records[:2])
    table.store("spool", records)
    PredictionTable(place).store("spool", records)

    assert _ids(place) == ["a", "b", "c"]
    assert DeltaTable(place).version() == 1


def test_spools_do_not_count_for_one_another(model: Model, place: str):
    for spool in ("one", "other"):
        PredictionTable(place).store(spool, _records(_answer(model, spool)))

    assert _ids(place) == ["one", "other"]


def test_of_a_store_that_ended_between_two_schemas_the_rest_is_stored_by_the_next(
    model: Model, place: str, plan: FeaturePlan
):
    other = replace(model, plan=msgspec.structs.replace(plan, columns=plan.columns[:1]))
    mixed = [_answer(model, "a"), _answer(other, "b", [30.0]), _answer(model, "c"), _answer(other, "d", [30.0])]
    records = _records(*mixed)
    PredictionTable(place).store("spool", [records[0], records[2]])

    PredictionTable(place).store("spool", records)

    assert _ids(place) == ["a", "b", "c", "d"]


def test_versions_with_the_same_columns_share_a_commit(model: Model, place: str):
    second = replace(model, manifest=msgspec.structs.replace(model.manifest, version="2"))

    PredictionTable(place).store("spool", _records(_answer(model, "a"), _answer(second, "b")))

    assert DeltaTable(place).version() == 0
    assert sorted(DeltaTable(place).to_pyarrow_table()["version"].to_pylist()) == ["1", "2"]


def test_an_answer_that_fits_no_column_is_lost_alone_and_counted(
    model: Model, place: str, caplog: pytest.LogCaptureFixture
):
    huge = _answer(model, "b", [30.0, 2**63, "east", None, 12, 20.0])
    table = PredictionTable(place)

    lost = table.store("spool", _records(_answer(model, "a"), huge, _answer(model, "c")))
    lost += table.store("spool", _records(huge, after=3))

    assert lost == 2
    assert _ids(place) == ["a", "c"]
    assert "returns 1 cannot be logged" in caplog.text


@pytest.mark.parametrize(
    ("before", "after", "stored"),
    [
        (("int64", 1), ("float64", 1.5), None),
        (("int64", 1), ("string", "x"), None),
        (("int64", 1), ("bool", True), None),
        (("int32", 1), ("int64", 2**40), None),
        (("int64", 1), ("int32", 3), 3),
        (("float64", 1.0), ("int64", 3), 3.0),
        (("float32", 1.0), ("float64", 2.5), 2.5),
    ],
)
def test_a_feature_that_changed_its_type_is_stored_unchanged_or_not_at_all(
    model: Model, place: str, before: tuple[str, Any], after: tuple[str, Any], stored: Any
):
    """deltalake would store 1.5 as 1, and never come past a text."""
    first, second = (
        _answer(_with_pages(model, dtype), name, [value]) for name, (dtype, value) in (("a", before), ("b", after))
    )
    table = PredictionTable(place)
    table.store("spool", _records(first))

    assert table.store("spool", _records(second, after=1)) == (stored is None)
    assert table.store("spool", _records(first, after=2)) == 0
    found = DeltaTable(place).to_pyarrow_table().to_pylist()
    assert [row["features"]["pages"] for row in found if row["answer_id"] == "b"] == (
        [] if stored is None else [stored]
    )


def test_records_of_another_release_are_refused_and_not_dropped(model: Model, place: str):
    [record] = _records(_answer(model, "a"))

    with pytest.raises(msgspec.MsgspecError):
        PredictionTable(place).store("spool", [replace(record, payload=msgspec.msgpack.encode({"rows": []}))])


def test_a_table_removed_under_the_writer_is_made_again_by_the_next_try(model: Model, place: str):
    table = PredictionTable(place)
    for i, name in enumerate("abc"):
        table.store("spool", _records(_answer(model, name), after=i))
    shutil.rmtree(place)
    records = _records(_answer(model, "d"), after=3)

    with pytest.raises(DeltaError):
        table.store("spool", records)
    table.store("spool", records)

    assert _ids(place) == ["d"]


def test_a_writer_goes_on_after_rows_were_erased_with_the_log_that_it_had_read(model: Model, place: str):
    records = _records(*(_answer(model, name) for name in "abcd"))
    table = PredictionTable(place)
    table.store("spool", records[:2])

    erase(place, Subject((Key("answer_id", "a", frozenset({"answer_id"})),)))
    with suppress(Exception):  # the writer tries again with the same records
        table.store("spool", records)
    table.store("spool", records)

    assert _ids(place) == ["b", "c", "d"]


def test_a_server_goes_on_where_it_was_when_answers_expire(model: Model, tmp_path: Path, place: str):
    old, new = _answer(model, "old"), replace(_answer(model, "new"), at=AT + timedelta(days=40))
    table = PredictionTable(place)
    table.store("spool", _records(old))

    done = expire(place, AT + timedelta(days=9), {}, lake=str(tmp_path / "my lake"))
    table.store("spool", _records(old, new))

    assert done.rows == 1 and _ids(place) == ["new"]
