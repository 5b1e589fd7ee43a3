"""Pushes that are killed, overtaken, or one of several at once."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from threading import Thread
from typing import Any

import pytest
import redis

from larder.contracts.errors import OnlineStoreError
from larder.offline.history import History
from larder.online.position import Position, read_position, write_position
from larder.push import embedded, gone, run, write
from larder.push.embedded import push_here
from larder.push.plan import Pushed, PushPlan
from larder.push.run import PushReport, push_history
from larder.push.write import Online
from tests.push.history import PLAN, Table, at, expected, held
from tests.push.pushes import LATER, pushed, stream


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
