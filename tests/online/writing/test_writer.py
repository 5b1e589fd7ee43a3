import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from larder.contracts.errors import InvalidDataError, MissingColumnsError
from larder.online.contents import count_entities, read_view
from larder.online.server.connection import connect
from larder.online.server.embedded import online_address
from larder.online.writing.compare_and_set import KEYS_OF_A_FIRST_LOAD
from larder.online.writing.writer import WriteCounts, write_records
from tests.online.rows import NOON, at, view, visits

Row = tuple[str, int, int, float]


def newest(rows: list[Row]) -> dict[str, float]:
    """The oracle: the value of each user's row that is latest by (event timestamp, known at)."""
    latest: dict[str, Row] = {}
    for row in rows:
        if row[0] not in latest or row[1:3] >= latest[row[0]][1:3]:
            latest[row[0]] = row
    return {user: row[3] for user, row in latest.items()}


def stored(client: redis.Redis, *users: str) -> dict[str, float]:
    """What Redis holds, by user."""
    found = read_view(client, view(), "shop", pa.table({"user": pa.array(users, pa.string())}))
    return {row["user"]: row["score"] for row in found.to_pylist() if row["event_timestamp"] is not None}


INSTANTS = st.integers(-3, 3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abc"), INSTANTS, INSTANTS, st.floats(0, 9)), max_size=8), max_size=4)
)
def test_any_order_of_writes_ends_at_the_newest_row(redis_client: redis.Redis, batches: list[list[Row]]) -> None:
    redis_client.flushall()

    for batch in batches:
        write_records(redis_client, view(), "shop", visits(*batch))

    assert stored(redis_client, "a", "b", "c") == newest([row for batch in batches for row in batch])


def test_concurrent_writers_end_at_the_newest_row(redis_settings: Any, redis_client: redis.Redis) -> None:
    seed = random.randrange(1_000_000)
    print("seed", seed)
    users = [f"user {i}" for i in range(40)]
    rows = [(user, event, known, event * 10.0 + known) for user in users for event in range(6) for known in range(6)]
    shares = [random.Random(seed + writer).sample(rows, len(rows)) for writer in range(4)]

    def write(share: list[Row]) -> None:
        client = connect(online_address(redis_settings), timeout_seconds=10)
        for start in range(0, len(share), 60):
            write_records(client, view(), "shop", visits(*share[start : start + 60]))
        client.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, shares))

    assert stored(redis_client, *users) == dict.fromkeys(users, 55.0) == newest(rows)


@pytest.mark.parametrize("present", [(), (0,), (6_000,)], ids=["none", "in the first part", "in a later part"])
def test_a_large_write_compares_wherever_something_was_stored(
    redis_client: redis.Redis, present: tuple[int, ...]
) -> None:
    assert KEYS_OF_A_FIRST_LOAD < 6_000 < 7_000
    write_records(redis_client, view(), "shop", visits(*((f"user {i}", 10, 10, -1.0) for i in present)))
    users = [f"user {i}" for i in range(7_000)]

    counts = write_records(redis_client, view(), "shop", visits(*((user, 0, 0, 1.0) for user in users)))

    expected = dict.fromkeys(users, 1.0) | {f"user {i}": -1.0 for i in present}
    assert stored(redis_client, *users) == expected
    assert (counts.written, counts.kept) == (7_000 - len(present), len(present))


def test_late_rows_are_kept_out_and_counted(redis_client: redis.Redis) -> None:
    write_records(redis_client, view(), "shop", visits(("ann", 10, 10, 1.0)))

    counts = write_records(redis_client, view(), "shop", visits(("ann", 5, 20, 2.0), ("bob", 5, 5, 3.0)))

    assert counts == WriteCounts(written=1, kept=1)
    assert stored(redis_client, "ann", "bob") == {"ann": 1.0, "bob": 3.0}


def test_a_correction_of_the_same_instant_replaces_the_value(redis_client: redis.Redis) -> None:
    write_records(redis_client, view(), "shop", visits(("ann", 10, 10, 1.0)))
    write_records(redis_client, view(), "shop", visits(("ann", 10, 30, 2.0)))
    write_records(redis_client, view(), "shop", visits(("ann", 10, 20, 3.0)))

    assert stored(redis_client, "ann") == {"ann": 2.0}


def test_equal_instants_overwrite(redis_client: redis.Redis) -> None:
    write_records(redis_client, view(), "shop", visits(("ann", 10, 10, 1.0)))
    counts = write_records(redis_client, view(), "shop", visits(("ann", 10, 10, 2.0), ("ann", 10, 10, 3.0)))

    assert counts == WriteCounts(written=1, kept=1)
    assert stored(redis_client, "ann") == {"ann": 3.0}


@pytest.mark.parametrize(
    "instant", [NOON, datetime(1, 1, 2, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)]
)
@pytest.mark.parametrize("column", ["event_timestamp", "known_at"])
def test_one_microsecond_decides(redis_client: redis.Redis, instant: datetime, column: str) -> None:
    def write(moment: datetime, score: float) -> None:
        row = {"user": ["ann"], "score": [score], "event_timestamp": [NOON], "known_at": [NOON]} | {column: [moment]}
        write_records(redis_client, view(), "shop", pa.table(row))

    write(instant + timedelta(microseconds=1), 2.0)
    write(instant, 1.0)
    assert stored(redis_client, "ann") == {"ann": 2.0}
    write(instant + timedelta(microseconds=2), 3.0)
    assert stored(redis_client, "ann") == {"ann": 3.0}


def test_rows_of_the_future_are_refused_and_do_not_freeze_the_entity(redis_client: redis.Redis) -> None:
    tomorrow = visits(("ann", 24 * 60, 24 * 60, 9.0), ("ann", 0.5, 0.5, 1.0))

    assert write_records(redis_client, view(), "shop", tomorrow, now=NOON) == WriteCounts(written=1, refused_future=1)
    write_records(redis_client, view(), "shop", visits(("ann", 5, 5, 2.0)), now=at(5))
    assert stored(redis_client, "ann") == {"ann": 2.0}


def test_rows_with_a_null_key_are_not_stored(redis_client: redis.Redis) -> None:
    counts = write_records(redis_client, view(), "shop", visits((None, 0, 0, 1.0), ("ann", 0, 0, 2.0)))

    assert counts == WriteCounts(written=1, refused_null_key=1)
    assert count_entities(redis_client, "shop", "visits") == 1


def test_more_rows_than_fit_into_one_script_are_all_stored(redis_client: redis.Redis) -> None:
    number = 20_000
    rows = pa.table(
        {
            "user": [str(i) for i in range(number)],
            "score": [float(i) for i in range(number)],
            "event_timestamp": [NOON] * number,
        }
    )

    assert write_records(redis_client, view(), "shop", rows) == WriteCounts(written=number)
    assert count_entities(redis_client, "shop", "visits") == number
    assert stored(redis_client, "0", "16384", "19999") == {"0": 0.0, "16384": 16384.0, "19999": 19999.0}


def test_a_record_of_another_schema_gives_way(redis_client: redis.Redis) -> None:
    old = view(features="rank:int64")
    row = pa.table({"user": ["ann"], "rank": [1], "event_timestamp": [at(60)]})
    write_records(redis_client, old, "shop", row)

    write_records(redis_client, view(), "shop", visits(("ann", 0, 0, 1.0)))

    assert stored(redis_client, "ann") == {"ann": 1.0}


def test_nothing_is_written_of_a_table_that_does_not_fit(redis_client: redis.Redis) -> None:
    rows = visits(("ann", 0, 0, 1.0))

    with pytest.raises(MissingColumnsError):
        write_records(redis_client, view(), "shop", rows.drop_columns("score"))
    with pytest.raises(InvalidDataError):
        write_records(redis_client, view(), "shop", rows.set_column(0, "user", [[1]]))
    assert redis_client.dbsize() == 0


def test_an_empty_table_is_no_error(redis_client: redis.Redis) -> None:
    assert write_records(redis_client, view(), "shop", visits()) == WriteCounts()
