"""Pushes of real Delta tables to a real Redis, against one loop over all rows."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import redis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from larder.push.embedded import push_here
from larder.push.run import PushReport, push_history
from tests.push.history import Row, Table, at, expected, held, history, online

LATER = at(1_000_000)
"""The present, long after all instants of a test."""


def pushed(client: redis.Redis, table: str, minutes: int, **options: Any) -> PushReport:
    cutoff, present = options.pop("cutoff", True), options.pop("now", LATER)
    engine = options.pop("engine", partial(push_here, now=present, quarantine=f"{table}_quarantine"))
    return push_history(
        online(client), history(table, cutoff=cutoff), engine, instant=at(minutes), now=present, **options
    )


minutes = st.integers(0, 12)
row = st.tuples(
    st.sampled_from(["a", "b", "c", None]), minutes, minutes, st.sampled_from([None, -1.0, 2.0, 3.0])
).map(lambda row: (row[0], row[1], max(row[1], row[2]), row[3]))
some_rows = st.lists(row, min_size=1, max_size=4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), some_rows),
        st.tuples(st.just("append"), some_rows),
        st.tuples(st.just("push"), minutes),
        st.tuples(st.just("push"), minutes),
        st.tuples(st.just("delete"), st.sampled_from("ab")),
        st.tuples(st.just("overwrite"), some_rows),
        st.tuples(st.just("restore"), st.integers(0, 30)),
        st.tuples(st.just("optimize"), st.none()),
        st.tuples(st.just("flush"), st.none()),
    ),
    min_size=4,
    max_size=14,
)


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])
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
                if len(table.versions) > 1:
                    table.restore(detail % (len(table.versions) - 1))
            elif step == "optimize":
                table.optimize()
            else:
                getattr(table, step)(detail)
