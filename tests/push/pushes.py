"""Pushes of the small table to a real Redis, in this process."""

from functools import partial
from typing import Any

import redis

from larder.offline.history import History
from larder.online.writing.writer import write_records
from larder.push import run
from larder.push.embedded import push_here
from larder.push.plan import Pushed, PushPlan
from larder.push.run import PushReport, push_history
from larder.push.write import Online
from tests.push.history import PLAN, Row, at, history, online, rows

LATER = at(1_000_000)
"""The present, long after all instants of a test."""


def pushed(client: redis.Redis, table: str, minutes: int, **options: Any) -> PushReport:
    cutoff, present = options.pop("cutoff", True), options.pop("now", LATER)
    engine = options.pop("engine", partial(push_here, now=present, quarantine=f"{table}_quarantine"))
    return push_history(
        online(client), history(table, cutoff=cutoff), engine, instant=at(minutes), now=present, **options
    )


def reading(plans: list[PushPlan], table: str) -> run.Engine:
    """The usual engine, which leaves its plans in a list."""

    def engine(online: Online, history: History, plan: PushPlan, instant: Any) -> Pushed:
        plans.append(plan)
        return push_here(online, history, plan, instant, now=LATER, quarantine=f"{table}_quarantine")

    return engine


def stream(client: redis.Redis, *given: Row) -> None:
    """Rows into Redis and not into the table, as `store.push` writes them."""
    write_records(client, PLAN, "shop", rows(*given).rename_columns(["user", "event_timestamp", "known_at", "score"]))
