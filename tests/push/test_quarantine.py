"""Rows dated in the future and rows without a key: set aside, counted once, and no obstacle to others."""

import json
from functools import partial

import polars as pl
import pyarrow as pa
import pytest
import redis

from larder.offline.history import History
from larder.push.embedded import push_here
from larder.push.quarantine import Refused
from larder.push.run import PushReport, push_history
from tests.push.history import Row, Table, at, held, history, online

FUTURE, KEYLESS = ("a", 600, 600, 9.0), (None, 1, 1, 4.0)


def pushed(client: redis.Redis, table: Table, minutes: int, *, cutoff: bool = False) -> PushReport:
    """At a present that is the instant of the push."""
    engine = partial(push_here, now=at(minutes), quarantine=f"{table.place}_online")
    return push_history(
        online(client), history(table.place, cutoff=cutoff), engine, instant=at(minutes), now=at(minutes)
    )


def quarantined(table: Table) -> list[tuple[str, str]]:
    found = pl.read_delta(f"{table.place}_online").sort("reason", "record")
    return list(found.select("reason", "record").iter_rows())


@pytest.fixture
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return Table.made(tmp_path_factory.mktemp("lake") / "scores", [("a", 1, 1, 1.0), FUTURE, KEYLESS])


def test_refused_rows_are_kept_with_reason_and_counted(redis_client: redis.Redis, table: Table):
    report = pushed(redis_client, table, 5)

    assert report.quarantined == {"future-dated": 1, "no key": 1}
    assert [reason for reason, _ in quarantined(table)] == ["future-dated", "no key"]
    assert '"user":"a"' in quarantined(table)[0][1] and '"score":9.0' in quarantined(table)[0][1]
    assert held(redis_client) == {"a": (at(1), at(1), 1.0)}


def test_they_are_kept_once_however_often_they_are_read(redis_client: redis.Redis, table: Table):
    pushed(redis_client, table, 5)
    redis_client.flushall()
    again = pushed(redis_client, table, 5)
    table.append([("b", 2, 2, 2.0)])
    table.optimize()
    after = pushed(redis_client, table, 6)
    table.append([("c", 700, 700, 7.0), KEYLESS])
    new = pushed(redis_client, table, 7)

    assert (again.quarantined, after.quarantined, new.quarantined) == ({}, {}, {"future-dated": 1})
    assert len(quarantined(table)) == 3


def test_a_future_row_freezes_nobody_and_is_served_once_its_instant_has_come(redis_client: redis.Redis, table: Table):
    pushed(redis_client, table, 5)
    table.append([("a", 6, 6, 6.0)])
    pushed(redis_client, table, 7)
    before = held(redis_client)
    pushed(redis_client, table, 600)

    assert before == {"a": (at(6), at(6), 6.0)}
    assert held(redis_client) == {"a": (at(600), at(600), 9.0)}


def test_a_correction_that_is_not_known_yet_is_no_future_row(redis_client: redis.Redis, table: Table):
    late: Row = ("a", 2, 400, 2.0)
    table.append([late])
    report = pushed(redis_client, table, 5, cutoff=True)
    pushed(redis_client, table, 400, cutoff=True)

    assert report.quarantined["future-dated"] == 1
    assert held(redis_client) == {"a": (at(2), at(400), 2.0)}


def test_a_row_within_the_tolerance_of_two_clocks_is_none(redis_client: redis.Redis, table: Table):
    pushed(redis_client, table, 5)
    table.append([("b", 6, 6, 6.0)])

    assert pushed(redis_client, table, 5).quarantined == {}


def test_bytes_at_any_depth_are_kept_as_hexadecimal_digits():
    parts = {
        "plain": (pa.binary(), b"\x00\xff"),
        "list": (pa.list_(pa.list_(pa.binary())), [[b"a", None], None]),
        "map": (pa.map_(pa.string(), pa.binary()), [("k", b"b")]),
        "struct": (pa.struct([("part", pa.binary()), ("number", pa.int64())]), {"part": b"c", "number": 7}),
        "instants": (pa.list_(pa.timestamp("us", "UTC")), [at(1)]),
    }
    row = pa.table({name: pa.array([value], dtype) for name, (dtype, value) in parts.items()})
    batch = row.append_column("user", pa.nulls(1, pa.string())).append_column("at", pa.array([at(1)]))
    refused = Refused(History("", ("user",), tuple(parts), "at"), at(5))

    list(refused.noting([batch]))

    record = json.loads(refused.rows["record"][0].as_py())
    assert record["plain"] == "00ff"
    assert record["list"] == [["61", None], None]
    assert record["map"] == {"k": "62"}
    assert record["struct"] == {"part": "63", "number": 7}
    assert record["instants"] == ["2024-05-01T12:01:00+00:00"]
