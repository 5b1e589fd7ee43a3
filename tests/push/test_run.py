"""Pushes of real Delta tables to a real Redis, against one loop over all rows."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pyarrow as pa
import pytest
import redis
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from larder.contracts.errors import InvalidDataError, OnlineStoreError
from larder.contracts.plan import Feature
from larder.offline.history import History
from larder.online.position import Position, read_position, write_position
from larder.online.writer import write_records
from larder.push import embedded, gone, run, write
from larder.push.embedded import push_here
from larder.push.plan import Pushed, PushPlan
from larder.push.run import PushReport, push_history
from larder.push.write import Online
from tests.push.history import PLAN, Row, Table, at, expected, held, history, online, rows

LATER = at(1_000_000)
"""The present, long after all instants of a test."""


def pushed(client: redis.Redis, table: str, minutes: int, **options: Any) -> PushReport:
    cutoff, present = options.pop("cutoff", True), options.pop("now", LATER)
    engine = options.pop("engine", partial(push_here, now=present, quarantine=f"{table}_quarantine"))
    return push_history(
        online(client), history(table, cutoff=cutoff), engine, instant=at(minutes), now=present, **options
    )


minutes = st.integers(0, 12)
row = st.tuples(st.sampled_from(["a", "b", "c", None]), minutes, minutes, st.sampled_from([None, -1.0, 2.0, 3.0])).map(
    lambda row: (row[0], row[1], max(row[1], row[2]), row[3])
)
some_rows = st.lists(row, min_size=1, max_size=4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), some_rows),
        st.tuples(st.just("append"), some_rows),
        st.tuples(st.just("push"), minutes),
        st.tuples(st.just("push"), minutes),
        st.tuples(st.just("delete"), st.sampled_from("ab")),
        st.tuples(st.just("merge"), some_rows),
        st.tuples(st.just("overwrite"), some_rows),
        st.tuples(st.just("vacuum"), st.none()),
        st.tuples(st.just("restore"), st.integers(0, 30)),
        st.tuples(st.just("optimize"), st.none()),
        st.tuples(st.just("flush"), st.none()),
    ),
    min_size=4,
    max_size=14,
)


@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(first=some_rows, steps=steps, cutoff=st.booleans())
def test_after_each_push_redis_holds_what_one_loop_over_the_table_finds(
    redis_client: redis.Redis, first: list[Row], steps: list[tuple[str, Any]], cutoff: bool
):
    with tempfile.TemporaryDirectory() as folder:
        redis_client.flushall()
        table, furthest = Table.made(Path(folder) / "scores", first), 0
        for step, detail in [*steps, ("push", 12)]:
            if step == "push":
                furthest = max(furthest, detail)
                pushed(redis_client, table.place, detail, cutoff=cutoff)
                assert held(redis_client) == expected(table.now, furthest, cutoff=cutoff)
            elif step == "flush":
                redis_client.flushall()
                furthest = 0
            elif step == "restore":
                with suppress(DeltaError):  # VACUUM took files of that version
                    table.restore(detail % len(table.versions))
            elif step in ("optimize", "vacuum"):
                getattr(table, step)()
            else:
                getattr(table, step)(detail)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table.made(tmp_path / "scores", [("a", 1, 1, 1.0), ("b", 2, 2, 2.0)])


def reading(plans: list[PushPlan], table: str) -> run.Engine:
    """The usual engine, which leaves its plans in a list."""

    def engine(online: Online, history: History, plan: PushPlan, instant: Any) -> Pushed:
        plans.append(plan)
        return push_here(online, history, plan, instant, now=LATER, quarantine=f"{table}_quarantine")

    return engine


def test_only_files_that_came_since_are_read_late_rows_among_them(redis_client: redis.Redis, table: Table):
    plans: list[PushPlan] = []
    engine = reading(plans, table.place)
    pushed(redis_client, table.place, 10, engine=engine)
    table.append([("a", 0, 9, 5.0), ("b", 3, 9, 6.0)])
    late = pushed(redis_client, table.place, 10, engine=engine)

    assert [len(plan.files or ()) for plan in plans] == [1, 1]
    assert plans[0].files != plans[1].files
    assert (late.written, late.note) == (1, "")
    assert held(redis_client)["b"] == (at(3), at(9), 6.0)


def test_files_whose_rows_became_visible_since_are_read_and_no_others(redis_client: redis.Redis, table: Table):
    plans: list[PushPlan] = []
    table.append([("a", 8, 8, 7.0)])
    pushed(redis_client, table.place, 5, engine=reading(plans, table.place))
    pushed(redis_client, table.place, 8, engine=reading(plans, table.place))

    assert [len(plan.files or ()) for plan in plans] == [2, 1]
    assert held(redis_client)["a"] == (at(8), at(8), 7.0)


def test_nothing_is_read_when_redis_is_where_it_should_be(redis_client: redis.Redis, table: Table):
    plans: list[PushPlan] = []
    for _ in range(2):
        pushed(redis_client, table.place, 5, engine=reading(plans, table.place))

    assert len(plans) == 1


def test_compacted_files_are_no_change_but_new_rows_in_them_are_found(redis_client: redis.Redis, table: Table):
    plans: list[PushPlan] = []
    pushed(redis_client, table.place, 5, engine=reading(plans, table.place))
    table.append([("a", 3, 3, 9.0)])
    table.optimize()
    report = pushed(redis_client, table.place, 5, engine=reading(plans, table.place))
    table.append([("b", 1, 1, 0.0)])
    pushed(redis_client, table.place, 5)
    table.optimize()
    pushed(redis_client, table.place, 5, engine=reading(plans, table.place))

    assert [bool(plan.why_full) for plan in plans] == [True, False, False]
    assert report.note == "" and held(redis_client)["a"] == (at(3), at(3), 9.0)
    assert plans[2].files == {}


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


def test_rows_of_a_push_that_was_interrupted_before_they_were_deleted_are_taken_back(
    redis_client: redis.Redis, table: Table, monkeypatch: pytest.MonkeyPatch
):
    pushed(redis_client, table.place, 5)
    table.append([("a", 3, 3, 3.0), ("c", 3, 3, 3.0)])
    with monkeypatch.context() as patch:
        patch.setattr(run, "move_position", partial(throw, KilledError))
        with pytest.raises(KilledError):
            pushed(redis_client, table.place, 5)
    assert "c" in held(redis_client)
    table.delete("c")
    table.delete("a", "score = 3")
    pushed(redis_client, table.place, 5)

    assert (
        held(redis_client)
        == expected(table.now, 5, cutoff=True)
        == {u: (at(m), at(m), float(m)) for u, m in [("a", 1), ("b", 2)]}
    )


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


def test_a_changed_schema_is_a_full_push_and_a_position_without_one_counts_as_none(
    redis_client: redis.Redis, table: Table
):
    pushed(redis_client, table.place, 5)
    wider = msgspec.structs.replace(PLAN, features=(Feature("score", "float32"),))
    engine = partial(push_here, now=LATER, quarantine=f"{table.place}_quarantine")
    changed = push_history(online(redis_client, wider), history(table.place), engine, instant=at(5), now=LATER)
    write_position(redis_client, "shop", PLAN.name, Position(table.place, 0, at(5)))
    old = pushed(redis_client, table.place, 5)

    assert "the view's fields changed" in changed.note and changed.written == 2
    assert "says nothing about the schema" in old.note and old.written == 2


def test_rows_that_only_redis_has_stay_while_the_table_grows(redis_client: redis.Redis, table: Table):
    pushed(redis_client, table.place, 5)
    stream(redis_client, ("a", 4, 4, 40.0))
    table.append([("a", 3, 3, 3.0)])
    pushed(redis_client, table.place, 5)

    assert held(redis_client)["a"] == (at(4), at(4), 40.0)


def stream(client: redis.Redis, *given: Row) -> None:
    """Rows into Redis and not into the table, as `store.push` writes them."""
    write_records(client, PLAN, "shop", rows(*given).rename_columns(["user", "event_timestamp", "known_at", "score"]))


def throw(problem: type[Exception], *_: Any, **__: Any) -> None:
    raise problem


class KilledError(Exception):
    pass


@pytest.mark.parametrize("instant", range(6))
def test_interrupted_at_any_instant_the_next_push_ends_right(
    redis_client: redis.Redis, table: Table, monkeypatch: pytest.MonkeyPatch, instant: int
):
    pushed(redis_client, table.place, 5)
    table.append([("a", 3, 3, 3.0), ("b", 4, 4, 4.0)])
    table.delete("b")
    table.append([("c", 4, 4, None)])
    before = read_position(redis_client, "shop", PLAN.name)
    calls = 0

    def until(action: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > instant:
            raise KilledError
        return action(*arguments, **options)

    with monkeypatch.context() as patch:
        for module, name in (
            (embedded, "keep_refused"),
            (embedded, "write_latest"),
            (write, "write_records"),
            (write, "replace_if_same"),
            (gone, "replace_if_same"),
            (run, "move_position"),
        ):
            patch.setattr(module, name, partial(until, getattr(module, name)))
        with pytest.raises(KilledError):
            pushed(redis_client, table.place, 5)
    assert read_position(redis_client, "shop", PLAN.name) == before

    pushed(redis_client, table.place, 5)
    assert held(redis_client) == expected(table.now, 5, cutoff=True)


def test_a_push_that_ends_after_another_one_takes_back_what_it_wrote_too_late(redis_client: redis.Redis, table: Table):
    """The slow one read the row of b before it was deleted, and writes it after the fast one was through."""
    pushed(redis_client, table.place, 5)
    table.append([("b", 4, 4, 4.0)])
    stream(redis_client, ("z", 4, 4, 41.0))
    report, before = overtaken(redis_client, table, lambda: table.delete("b"))

    assert "b" not in before
    assert (report.note, report.removed) == ("DELETE in version 2 took rows away", 1)
    assert held(redis_client) == {"a": (at(1), at(1), 1.0), "z": (at(4), at(4), 41.0)}


def test_a_push_that_is_overtaken_while_it_makes_everything_exact_ends_right(redis_client: redis.Redis, table: Table):
    pushed(redis_client, table.place, 5)
    write_position(redis_client, "shop", PLAN.name, Position("elsewhere", 0, at(5), "1", PLAN.fingerprint.hex()))
    report, before = overtaken(redis_client, table, lambda: table.append([("a", 5, 5, 5.0), ("c", 5, 5, 5.0)]))

    assert before == held(redis_client) == expected(table.now, 5, cutoff=True)
    assert report.removed == 1  # c, which the slow one did not know; its next attempt brought it back


def test_a_push_takes_back_what_one_of_an_earlier_version_wrote_after_it(redis_client: redis.Redis, table: Table):
    """Both found Redis empty. The other one had read b before it was deleted, and was the first to end."""
    table.delete("b")
    usual, left = partial(push_here, now=LATER, quarantine=f"{table.place}_quarantine"), []

    def fast(online: Online, history: History, plan: PushPlan, instant: Any) -> Pushed:
        done = usual(online, history, plan, instant)
        if not left:
            push_history(online, replace(history, version=0), usual, instant=at(5), now=LATER)
            left.append(held(redis_client))
        return done

    pushed(redis_client, table.place, 5, engine=fast)

    assert "b" in left[0]
    assert held(redis_client) == {"a": (at(1), at(1), 1.0)}


def overtaken(client: redis.Redis, table: Table, change: Callable[[], None]) -> tuple[PushReport, dict[str, Any]]:
    """A push that has read and not yet written while the table changes and another push comes through: its report,
    and what the other one left.
    """
    usual, left = partial(push_here, now=LATER, quarantine=f"{table.place}_quarantine"), []

    def slow(online: Online, history: History, plan: PushPlan, instant: Any) -> Pushed:
        if not left:
            change()
            pushed(client, table.place, 5)
            left.append(held(client))
        return usual(online, history, plan, instant)

    return pushed(client, table.place, 5, engine=slow), left[0]


def test_pushes_from_several_threads_while_the_table_changes_end_at_what_it_says(
    redis_client: redis.Redis, table: Table
):
    problems: list[BaseException] = []

    def push_often() -> None:
        try:
            for _ in range(6):
                pushed(redis_client, table.place, 50)
        except OnlineStoreError as problem:
            if "in one process at a time" not in str(problem):
                problems.append(problem)
        except BaseException as problem:
            problems.append(problem)

    threads = [Thread(target=push_often) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(3, 9):
        table.append([("abc"[number % 3], number, number, float(number))])
        if number == 6:
            table.delete("a")
    for thread in threads:
        thread.join()
    pushed(redis_client, table.place, 50)

    assert problems == []
    assert held(redis_client) == expected(table.now, 50, cutoff=True)


def test_an_end_in_the_future_counts_as_now_so_that_no_later_row_is_hidden(redis_client: redis.Redis, table: Table):
    table.append([("a", 600, 600, 600.0)])
    early = pushed(redis_client, table.place, 1000, now=at(5))
    table.append([("a", 7, 7, 7.0)])
    pushed(redis_client, table.place, 8, now=at(8))

    assert "nothing is pushed beyond the present" in early.note
    assert held(redis_client)["a"] == (at(7), at(7), 7.0)


def test_a_position_in_the_future_hides_nothing(redis_client: redis.Redis, table: Table):
    table.append([("a", 600, 600, 600.0)])
    pushed(redis_client, table.place, 1000)
    report = pushed(redis_client, table.place, 8, now=at(8))

    assert "the position online lay in the future" in report.note
    assert held(redis_client)["a"] == (at(1), at(1), 1.0)


def test_of_rows_with_equal_instants_the_greater_stays_whichever_came_first(redis_client: redis.Redis, table: Table):
    seen = []
    for score in (9.0, 3.0, 11.0, None):
        table.append([("a", 5, 5, score)])
        pushed(redis_client, table.place, 8)
        seen.append(held(redis_client)["a"][2])

    assert seen == [9.0, 9.0, 11.0, 11.0]


def test_a_row_is_found_when_the_instant_has_come_from_which_it_was_known(redis_client: redis.Redis, table: Table):
    table.append([("a", 3, 9, 3.0)])
    pushed(redis_client, table.place, 8)
    before = held(redis_client)["a"]
    pushed(redis_client, table.place, 9)

    assert [before[2], held(redis_client)["a"][2]] == [1.0, 3.0]
