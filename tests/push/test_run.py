"""Pushes of real Delta tables to a real Redis, against one loop over all rows."""

import tempfile
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import redis
from deltalake.exceptions import DeltaError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from larder.contracts.plan import Feature
from larder.offline.history import History
from larder.online.position import Position, write_position
from larder.push.embedded import push_here
from larder.push.plan import PushPlan
from larder.push.run import push_history
from tests.push.history import PLAN, Row, Table, at, expected, held, history, online
from tests.push.pushes import LATER, pushed, reading, stream

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


def test_other_columns_behind_the_same_names_are_read_anew_and_values_move_back(
    redis_client: redis.Redis, tmp_path: Path
):
    table = Table.made(tmp_path / "scores", [("a", 1, 9, 1.0), ("a", 5, 5, 2.0)])
    by_seen = history(table.place, cutoff=False)
    by_known = replace(by_seen, event_timestamp="known_at")
    engine = partial(push_here, now=LATER, quarantine=f"{table.place}_quarantine")

    def scored(rows: History) -> tuple[str, float | None]:
        report = push_history(online(redis_client), rows, engine, instant=at(10), now=LATER)
        return report.note, held(redis_client)["a"][2]

    changed = "whole history read because the columns behind the view's fields or times changed"
    assert scored(by_known)[1] == 1.0
    assert scored(by_seen) == (changed, 2.0)
    assert scored(by_seen) == ("", 2.0)


def test_rows_that_only_redis_has_stay_while_the_table_grows(redis_client: redis.Redis, table: Table):
    pushed(redis_client, table.place, 5)
    stream(redis_client, ("a", 4, 4, 40.0))
    table.append([("a", 3, 3, 3.0)])
    pushed(redis_client, table.place, 5)

    assert held(redis_client)["a"] == (at(4), at(4), 40.0)


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
