"""Rows that left the table, and tables that went back, against one loop over all rows."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
import redis
from deltalake import DeltaTable, write_deltalake

from larder.contracts.errors import InvalidDataError
from larder.contracts.plan import Feature
from larder.push.embedded import push_here
from larder.push.plan import PushPlan
from larder.push.run import push_history
from tests.push.history import PLAN, Table, at, expected, held, history, online, rows
from tests.push.pushes import LATER, pushed, reading, stream


def reasons(table: Table) -> dict[str, tuple[Callable[[], Any], str]]:
    return {
        "vacuumed": (
            lambda: (table.delete("a"), table.vacuum()),
            "DELETE in version 1 took rows away and VACUUM their files",
        ),
        "forgotten": (
            lambda: (table.append([("a", 4, 4, 4.0)]), table.checkpoint_and_forget()),
            "the log no longer tells what version 1 did",
        ),
    }


@pytest.mark.parametrize("what", ["vacuumed", "forgotten"])
def test_where_nothing_tells_which_rows_went_redis_becomes_what_the_table_says_and_the_note_tells_why(
    redis_client: redis.Redis, table: Table, what: str
):
    pushed(redis_client, table.place, 5)
    change, reason = reasons(table)[what]
    change()
    report = pushed(redis_client, table.place, 5)

    assert report.note == f"whole history read because {reason}"
    assert held(redis_client) == expected(table.now, 5, cutoff=True)
    assert pushed(redis_client, table.place, 5).note == ""


def test_after_a_vacuum_an_earlier_end_still_moves_nothing_back(redis_client: redis.Redis, table: Table):
    pushed(redis_client, table.place, 5)
    table.delete("a")
    table.vacuum()
    report = pushed(redis_client, table.place, 1)

    assert "online already holds" in report.note
    assert held(redis_client) == {"b": (at(2), at(2), 2.0)}


def test_a_deleted_entity_disappears_and_a_deleted_row_gives_way_to_the_one_before(
    redis_client: redis.Redis, table: Table
):
    plans: list[PushPlan] = []
    table.append([("a", 3, 3, 3.0)])
    pushed(redis_client, table.place, 5)
    table.delete("b")
    table.delete("a", "seen_at > '2024-05-01T12:01:30Z'")
    report = pushed(redis_client, table.place, 5, engine=reading(plans, table.place))

    assert (report.written, report.removed, report.note) == (1, 1, "DELETE in version 3 took rows away")
    assert held(redis_client) == {"a": (at(1), at(1), 1.0)}
    assert plans[0].why_full == ""


def test_an_update_and_a_merge_reach_redis_even_where_instants_stay_and_values_sink(
    redis_client: redis.Redis, table: Table
):
    pushed(redis_client, table.place, 5)
    table.merge([("a", 1, 1, -1.0), ("b", 3, 3, 3.0), ("c", 0, 0, 0.0)])
    report = pushed(redis_client, table.place, 5)

    assert (report.removed, report.note) == (0, "MERGE in version 1 took rows away")
    assert held(redis_client) == expected(table.now, 5, cutoff=True)
    assert held(redis_client)["a"] == (at(1), at(1), -1.0)


def test_a_merge_that_only_inserts_is_no_loss(redis_client: redis.Redis, table: Table):
    pushed(redis_client, table.place, 5)
    table.insert([("c", 4, 4, 4.0), ("a", 4, 4, 4.0)])
    report = pushed(redis_client, table.place, 5)

    assert (report.note, report.written) == ("", 1)
    assert held(redis_client) == expected(table.now, 5, cutoff=True)


def test_what_others_wrote_to_redis_stays_when_rows_are_taken_away(redis_client: redis.Redis, table: Table):
    pushed(redis_client, table.place, 5)
    stream(redis_client, ("b", 4, 4, 40.0), ("z", 4, 4, 41.0))
    table.merge([("b", 3, 3, 3.0)])
    table.delete("a")
    pushed(redis_client, table.place, 5)

    assert held(redis_client) == {"b": (at(4), at(4), 40.0), "z": (at(4), at(4), 41.0)}


def test_a_row_that_never_fitted_into_a_record_can_be_deleted(redis_client: redis.Redis, tmp_path: Path):
    place = str(tmp_path / "scores")
    plan = msgspec.structs.replace(PLAN, features=(Feature("score", "int32"),))

    def append(minute: int, score: int) -> None:
        row = rows(("a", minute, minute, None)).drop_columns(["score"])
        write_deltalake(place, row.append_column("score", pa.array([score])), mode="append")

    def push() -> str:
        engine = partial(push_here, now=LATER, quarantine=str(tmp_path / "refused"))
        return push_history(online(redis_client, plan), history(place), engine, instant=at(5), now=LATER).note

    append(1, 1)
    push()
    append(2, 2**40)
    with pytest.raises(InvalidDataError):
        push()
    DeltaTable(place).delete("score > 1")

    assert push() == "DELETE in version 2 took rows away"


def test_a_restored_table_brings_values_back_online(redis_client: redis.Redis, table: Table):
    table.append([("a", 3, 3, 3.0), ("c", 3, 3, 3.0)])
    pushed(redis_client, table.place, 5)
    table.restore(0)
    report = pushed(redis_client, table.place, 5)

    assert "RESTORE in version 2" in report.note and report.removed == 1
    assert held(redis_client) == {"a": (at(1), at(1), 1.0), "b": (at(2), at(2), 2.0)}


def test_a_table_made_anew_in_the_same_place_replaces_what_is_online(
    redis_client: redis.Redis, table: Table, tmp_path: Path
):
    pushed(redis_client, table.place, 5)
    shutil.rmtree(table.place)
    anew = Table.made(tmp_path / "scores", [("a", 0, 0, 8.0)])
    report = pushed(redis_client, anew.place, 5)

    assert "made anew" in report.note
    assert held(redis_client) == {"a": (at(0), at(0), 8.0)}


def test_an_earlier_version_that_is_pinned_moves_values_back(redis_client: redis.Redis, table: Table):
    table.append([("a", 3, 3, 3.0)])
    pushed(redis_client, table.place, 5)
    pinned = replace(history(table.place), version=0)
    engine = partial(push_here, now=LATER, quarantine=f"{table.place}_quarantine")
    report = push_history(online(redis_client), pinned, engine, instant=at(5), now=LATER)

    assert "online was version 1, a later one" in report.note
    assert held(redis_client)["a"] == (at(1), at(1), 1.0)
