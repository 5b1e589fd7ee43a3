"""Pushes of a table in folders: their names are written one way in the log and another on the disk."""

from functools import partial
from pathlib import Path

import pyarrow as pa
import redis
from deltalake import write_deltalake

from larder.push.embedded import push_here
from larder.push.run import push_history
from tests.push.history import Row, at, held, history, online, rows


def write(table: Path, region: str, *new: Row) -> None:
    regions = pa.array([region] * len(new))
    write_deltalake(str(table), rows(*new).append_column("region", regions), mode="append", partition_by=["region"])


def test_new_files_are_found_in_partitions_of_any_name(redis_client: redis.Redis, tmp_path: Path):
    table, engine = tmp_path / "scores", partial(push_here, now=at(100), quarantine=str(tmp_path / "refused"))
    for minute, region in enumerate(["north west", "100%20", "é/ü", "x=y:z"]):
        write(table, region, ("a", minute, minute, float(minute)))
        report = push_history(online(redis_client), history(table), engine, instant=at(10), now=at(100))

        assert (report.note == "") == (minute > 0)
        assert held(redis_client) == {"a": (at(minute), at(minute), float(minute))}
