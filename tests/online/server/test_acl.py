"""Users that may do only a part: what a reader and a writer need, and how writing goes on without scripts."""

import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
import redis

from larder.contracts.errors import OnlineStoreError
from larder.online.contents import count_entities, delete_view, read_view
from larder.online.position import Position, read_position, write_position
from larder.online.reading.reader import FeatureReader
from larder.online.server.connection import connect, redis_failures
from larder.online.server.health import redis_health
from larder.online.server.many_keys import multi_get
from larder.online.writing import scripts
from larder.online.writing.writer import WriteCounts, write_records
from tests.online.rows import NOON, at, plan, view, visits
from tests.online.server.conftest import Server, StartServer, cluster_address

PAGE = Path(__file__).parents[3] / "docs" / "redis_servers.md"
Row = tuple[str, int, int, float]


@pytest.fixture
def server(start_server: StartServer) -> Server:
    return start_server()


@pytest.fixture
def documented(server: Server) -> Server:
    """A server with the users of the page, each with the password `secret`."""
    grant_documented(server)
    return server


def grant_documented(server: Server) -> None:
    rules = re.findall(r"^ {4}(ACL SETUSER .*)$", PAGE.read_text(), re.MULTILINE)
    assert len(rules) >= 3
    for rule in rules:
        execute(server, *rule.replace("<password>", "secret").split())


def execute(server: Server, *command: str) -> None:
    with closing(server.client()) as admin:
        admin.execute_command(*command)


def client_of(server: Server, user: str) -> redis.Redis:
    return connect(server.address.replace("//", f"//{user}:secret@"), timeout_seconds=10)


def stored(client: redis.Redis, *users: str) -> list[float]:
    return read_view(client, view(), "shop", pa.table({"user": users}))["score"].to_pylist()


@pytest.fixture
def writer_without_scripts(server: Server) -> Iterator[redis.Redis]:
    execute(server, "ACL", "SETUSER", "plain", "on", ">secret", "~larder:*", "+@all", "-@scripting")
    with closing(client_of(server, "plain")) as client:
        yield client


def test_the_documented_reader_reads_and_cannot_write(documented: Server) -> None:
    with (
        closing(client_of(documented, "larder_writer")) as writer,
        closing(client_of(documented, "larder_reader")) as reader,
    ):
        write_records(writer, view(), "shop", visits(("ann", 0, 0, 1.0)))
        write_position(writer, "shop", "visits", Position("gold", 1, NOON))

        assert FeatureReader(plan(view()), reader, lambda: NOON).read([{"user": "ann"}]).values == [[1.0]]
        assert read_position(reader, "shop", "visits") is not None
        with redis_failures(reader):
            assert reader.ping()
        with pytest.raises(OnlineStoreError, match=r"what this user may not do.*docs/redis_servers\.md"):
            write_records(reader, view(), "shop", visits(("ann", 1, 1, 2.0)))
        with pytest.raises(OnlineStoreError, match="what this user may not do"):
            delete_view(reader, "shop", "visits")
        assert stored(writer, "ann") == [1.0]


def test_the_documented_writer_does_all_that_larder_does(documented: Server) -> None:
    with closing(client_of(documented, "larder_writer")) as writer:
        assert write_records(writer, view(), "shop", visits(("ann", 0, 0, 1.0))) == WriteCounts(written=1)
        assert count_entities(writer, "shop", "visits") == 1
        assert "INFO" not in " ".join(redis_health(writer).warnings)
        delete_view(writer, "shop", "visits")
        assert count_entities(writer, "shop", "visits") == 0
        assert writer not in scripts._without_scripts
        with pytest.raises(OnlineStoreError, match="what this user may not do"), redis_failures(writer):
            writer.set("another application's", "x")


def test_the_documented_users_work_on_a_cluster(cluster: list[Server]) -> None:
    for node in cluster:
        grant_documented(node)
    address = cluster_address(cluster)
    users = [f"user {number}" for number in range(30)]
    rows = visits(*[(user, 0, 0, 1.0) for user in users])
    for name in ("larder_writer", "larder_writer_plain"):
        with closing(connect(address.replace("//", f"//{name}:secret@"), timeout_seconds=10)) as writer:
            assert write_records(writer, view(), "shop", rows) == WriteCounts(written=30)
            assert redis_health(writer).keys == 30
    with closing(connect(address.replace("//", "//larder_reader:secret@"), timeout_seconds=10)) as reader:
        rows_read = FeatureReader(plan(view()), reader, lambda: NOON).read([{"user": user} for user in users])
    assert rows_read.values == [[1.0]] * 30


def test_without_scripts_the_newest_value_still_wins(writer_without_scripts: redis.Redis) -> None:
    client = writer_without_scripts

    assert write_records(client, view(), "shop", visits(("ann", 1, 1, 1.0), ("bob", 1, 1, 1.0))).written == 2
    counts = write_records(client, view(), "shop", visits(("ann", 0, 9, 2.0), ("bob", 1, 2, 2.0), ("eve", 0, 0, 2.0)))

    assert client in scripts._without_scripts
    assert counts == WriteCounts(written=2, kept=1)
    assert stored(client, "ann", "bob", "eve") == [1.0, 2.0, 2.0]


def test_without_scripts_other_schemas_give_way_and_other_types_are_refused(
    writer_without_scripts: redis.Redis,
) -> None:
    client = writer_without_scripts
    row = pa.table({"user": ["ann"], "rank": [1], "event_timestamp": [at(60)]})
    write_records(client, view(features="rank:int64"), "shop", row)
    write_records(client, view(), "shop", visits(("ann", 0, 0, 1.0)))
    assert stored(client, "ann") == [1.0]

    key = next(iter(client.scan_iter()))
    client.delete(key)
    client.lpush(key, "not ours")
    with pytest.raises(OnlineStoreError, match="another type of value"):
        write_records(client, view(), "shop", visits(("ann", 1, 1, 2.0)))
    assert client.lrange(key, 0, -1) == [b"not ours"]


def test_whether_scripts_are_permitted_is_asked_once(server: Server, writer_without_scripts: redis.Redis) -> None:
    for minute in range(3):
        write_records(writer_without_scripts, view(), "shop", visits(("ann", minute, minute, 1.0)))

    with closing(server.client()) as admin:
        assert admin.acl_log()[0]["count"] == 1


def test_a_server_whose_scripts_were_renamed_away_is_written_to_as_well(start_server: StartServer) -> None:
    with closing(connect(start_server(rename_command='EVAL ""').address, timeout_seconds=10)) as client:
        assert write_records(client, view(), "shop", visits(("ann", 0, 0, 1.0))) == WriteCounts(written=1)
        assert stored(client, "ann") == [1.0]


def test_four_writers_without_scripts_never_move_a_value_backwards(server: Server) -> None:
    execute(server, "ACL", "SETUSER", "plain", "on", ">secret", "~larder:*", "+@all", "-@scripting")
    seed = random.randrange(1_000_000)
    print("seed", seed)
    users = [f"user {i}" for i in range(20)]
    rows: list[Row] = [
        (user, event, known, event * 10.0 + known) for user in users for event in range(5) for known in range(5)
    ]
    shares = [random.Random(seed + writer).sample(rows, len(rows)) for writer in range(4)]
    is_done = False

    def write(share: list[Row]) -> None:
        with closing(client_of(server, "plain")) as client:
            for start in range(0, len(share), 25):
                write_records(client, view(), "shop", visits(*share[start : start + 25]))

    def watch() -> int:
        """How often a value was seen to be lower than before."""
        seen, backwards = dict.fromkeys(users, -1.0), 0
        with closing(client_of(server, "plain")) as client:
            while not is_done:
                for user, score in zip(users, stored(client, *users), strict=True):
                    backwards += score is not None and score < seen[user]
                    seen[user] = seen[user] if score is None else score
        return backwards

    with ThreadPoolExecutor(5) as pool:
        watcher = pool.submit(watch)
        try:
            list(pool.map(write, shares))
        finally:
            is_done = True

    assert watcher.result() == 0
    with closing(client_of(server, "plain")) as client:
        assert stored(client, *users) == [44.0] * 20


@pytest.mark.parametrize("login", ["plain:wrong", "nobody:secret"])
def test_a_wrong_user_or_password_is_one_sentence(server: Server, login: str) -> None:
    execute(server, "ACL", "SETUSER", "plain", "on", ">secret", "~*", "+@all")
    client = connect(server.address.replace("//", f"//{login}@"), timeout_seconds=10)

    with pytest.raises(OnlineStoreError, match=r"refuses the user or the password.*redis://user:password@") as failure:
        FeatureReader(plan(view()), client).read([{"user": "ann"}])

    assert login.split(":")[1] not in str(failure.value)
    client.close()


def test_a_missing_password_is_one_sentence(start_server: StartServer) -> None:
    with (
        closing(connect(start_server(requirepass="secret").address, timeout_seconds=10)) as client,
        pytest.raises(OnlineStoreError, match="refuses the user or the password"),
        redis_failures(client),
    ):
        multi_get(client)([b"key"])
