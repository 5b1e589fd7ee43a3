"""A Redis Cluster of three real servers."""

import asyncio
import time
from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest
from redis.crc import key_slot

from larder.contracts.errors import OnlineStoreError
from larder.online.contents import count_entities, delete_view, read_view
from larder.online.position import Position, read_position, write_position
from larder.online.reading.reader import FeatureReader
from larder.online.server.cluster import Cluster, places_by_slot
from larder.online.server.connection import connect, connect_async
from larder.online.server.many_keys import multi_get_async
from larder.online.writing.writer import WriteCounts, write_records
from tests.online.rows import NOON, at, plan, view, visits
from tests.online.server.conftest import Server, StartServer, cluster_address, wait_until

USERS = [f"user {number}" for number in range(60)]
OTHER = view("orders", features="total:float64")


def write_all(client: Cluster, minute: float, score: float) -> WriteCounts:
    return write_records(client, view(), "shop", visits(*[(user, minute, minute, score) for user in USERS]))


def scores(client: Cluster) -> list[float]:
    return read_view(client, view(), "shop", pa.table({"user": USERS}))["score"].to_pylist()


def slot_of(user: str) -> int:
    return key_slot(b"{s%d:%b}" % (len(user), user.encode()))


def commands_processed(nodes: list[Server], command: str) -> list[int]:
    counts = []
    for node in nodes:
        with closing(node.client()) as client:
            counts.append(client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])
    return counts


def test_what_is_written_to_a_cluster_is_read_counted_and_deleted(cluster: list[Server]) -> None:
    client = connect(cluster_address(cluster), timeout_seconds=10)

    assert write_all(client, 0, 1.0) == WriteCounts(written=60)
    assert write_all(client, 5, 2.0) == WriteCounts(written=60)
    assert write_all(client, 3, 9.0) == WriteCounts(kept=60)
    write_position(client, "shop", "visits", Position("gold/visits", 7, NOON))

    assert scores(client) == [2.0] * 60
    assert count_entities(client, "shop", "visits") == 60
    position = read_position(client, "shop", "visits")
    assert position is not None and position.version == 7
    with closing(cluster[0].client()) as node:
        assert 0 < node.dbsize() < 60  # each node has its share
    delete_view(client, "shop", "visits")
    assert client.dbsize() == 0
    client.close()


def test_a_view_without_entities_is_written_and_read(cluster: list[Server]) -> None:
    client = connect(cluster_address(cluster), timeout_seconds=10)
    one = view("weather", keys="", features="wind:float64")
    rows = pa.table({"wind": [7.0], "event_timestamp": [at(0)]})

    assert write_records(client, one, "shop", rows) == WriteCounts(written=1)
    assert FeatureReader(plan(one), client, lambda: NOON).read([{}]).values == [[7.0]]
    client.close()


def test_slots_are_those_of_redis(cluster: list[Server]) -> None:
    prefix = b"larder:4:shop:6:visits:"
    of_a_view = [prefix + rest for rest in (b"{s3:ann}", b"{s3:}b}", b"position", b"{}")]
    for key in (*of_a_view, b"{}", b"a{b}{c}", b"a}b{", b"{a}b{c"):
        slot = execute(cluster[0], "CLUSTER", "KEYSLOT", key)

        assert places_by_slot([b"x{other}", key, key]) == {slot: [1, 2], key_slot(b"other"): [0]}


def test_one_request_sends_one_command_per_entity_and_waits_once_per_node(cluster: list[Server]) -> None:
    client = connect(cluster_address(cluster), timeout_seconds=10)
    write_all(client, 0, 1.0)
    write_records(
        client, OTHER, "shop", pa.table({"user": USERS, "total": [5.0] * 60, "event_timestamp": [at(0)] * 60})
    )
    reader = FeatureReader(plan(view(), OTHER), client, lambda: NOON)
    before = commands_processed(cluster, "mget")

    rows = reader.read([{"user": user} for user in [*USERS, "nobody"]])

    assert rows.values == [[1.0, 5.0]] * 60 + [[None, None]]
    sent = [after - earlier for after, earlier in zip(commands_processed(cluster, "mget"), before, strict=True)]
    assert sum(sent) == 61  # both views of an entity in one command
    assert min(sent) > 0
    client.close()


def test_a_moved_slot_is_followed_without_a_wrong_write(cluster: list[Server]) -> None:
    client = connect(cluster_address(cluster), timeout_seconds=10)
    write_all(client, 0, 1.0)
    source, target = move_slot_begun(cluster, slot_of(USERS[0]))
    write_all(client, 1, 2.0)  # a key that is there already stays until it is moved
    move_slot_ended(cluster, slot_of(USERS[0]), source, target)

    assert write_all(client, 0.5, 9.0) == WriteCounts(kept=60)
    assert write_all(client, 2, 3.0) == WriteCounts(written=60)

    assert scores(client) == [3.0] * 60
    client.close()


def test_a_key_on_its_way_to_another_node_is_read_and_written_there(cluster: list[Server]) -> None:
    client = connect(cluster_address(cluster), timeout_seconds=10)
    write_all(client, 0, 1.0)
    source, target = move_slot_begun(cluster, slot_of(USERS[0]))
    migrate(source, target, slot_of(USERS[0]))  # the slot still belongs to its source, which answers ASK

    assert scores(client) == [1.0] * 60
    assert write_all(client, 1, 2.0) == WriteCounts(written=60)
    assert write_all(client, 0.5, 9.0) == WriteCounts(kept=60)
    move_slot_ended(cluster, slot_of(USERS[0]), source, target)
    assert scores(client) == [2.0] * 60
    client.close()


def test_a_writer_without_scripts_is_told_that_a_slot_moved_and_then_goes_on(cluster: list[Server]) -> None:
    for node in cluster:
        execute(node, "ACL", "SETUSER", "plain", "on", ">secret", "~*", "+@all", "-@scripting")
    client = connect(cluster_address(cluster).replace("//", "//plain:secret@"), timeout_seconds=10)
    assert write_all(client, 0, 1.0) == WriteCounts(written=60)
    move_slot_ended(cluster, slot_of(USERS[0]), *move_slot_begun(cluster, slot_of(USERS[0])))

    with pytest.raises(OnlineStoreError, match=r"is moving these keys to another node.*Try again"):
        write_all(client, 1, 2.0)

    write_all(client, 1, 2.0)
    assert scores(client) == [2.0] * 60
    client.close()


def test_an_entity_half_way_to_another_node_is_an_error_and_not_half_an_answer(cluster: list[Server]) -> None:
    client = connect(cluster_address(cluster), timeout_seconds=10)
    write_all(client, 0, 1.0)
    total = pa.table({"user": USERS, "total": [5.0] * 60, "event_timestamp": [at(0)] * 60})
    write_records(client, OTHER, "shop", total)
    reader = FeatureReader(plan(view(), OTHER), client, lambda: NOON)
    slot = slot_of(USERS[0])
    source, target = move_slot_begun(cluster, slot)
    key = execute(source, "CLUSTER", "GETKEYSINSLOT", slot, 1)[0]
    execute(source, "MIGRATE", "127.0.0.1", target.port, key, 0, 5000)

    with pytest.raises(OnlineStoreError, match=r"is moving these keys to another node.*Try again"):
        reader.read([{"user": USERS[0]}])

    move_slot_ended(cluster, slot, source, target)
    assert reader.read([{"user": USERS[0]}]).values == [[1.0, 5.0]]
    client.close()


def test_one_frozen_node_costs_one_time_out_however_many_entities_it_has(cluster: list[Server]) -> None:
    reader = FeatureReader(plan(view()), cluster_address(cluster), lambda: NOON)
    rows = [{"user": user} for user in USERS]
    reader.read(rows)

    cluster[1].freeze()
    try:
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(OnlineStoreError, match=r"redis\+cluster://127.*does not answer"):
                reader.read(rows)
            assert time.monotonic() - started < 1
    finally:
        cluster[1].thaw()

    wait_until(lambda: is_readable(reader, rows))


def test_all_nodes_frozen_costs_one_time_out_too(cluster: list[Server]) -> None:
    reader = FeatureReader(plan(view()), connect(cluster_address(cluster), timeout_seconds=0.5), lambda: NOON)
    reader.read([{"user": "ann"}])

    for node in cluster:
        node.freeze()
    try:
        for _ in range(4):
            started = time.monotonic()
            with pytest.raises(OnlineStoreError, match="does not answer"):
                reader.read([{"user": "ann"}])
            assert time.monotonic() - started < 1.4  # three time-outs would be 1.5
    finally:
        for node in cluster:
            node.thaw()


def test_a_dead_node_is_one_sentence_and_the_others_go_on(cluster: list[Server]) -> None:
    client = connect(cluster_address(cluster), timeout_seconds=10)
    write_all(client, 0, 1.0)
    cluster[2].kill()
    dead = [user for user in USERS if slot_of(user) >= 2 * 16_384 // 3]
    alive = [user for user in USERS if user not in dead]

    with pytest.raises(OnlineStoreError, match="does not answer"):
        read_view(client, view(), "shop", pa.table({"user": dead}))

    assert read_view(client, view(), "shop", pa.table({"user": alive}))["score"].to_pylist() == [1.0] * len(alive)
    client.close()


def test_answers_are_those_of_their_own_request_after_one_that_failed(cluster: list[Server]) -> None:
    client = connect(cluster_address(cluster), timeout_seconds=1)
    write_all(client, 0, 1.0)
    write_records(client, view(), "shop", visits(*[(f"other {number}", 0, 0, 2.0) for number in range(60)]))
    reader = FeatureReader(plan(view()), client, lambda: NOON)
    for node in cluster:
        execute(node, "CLIENT", "PAUSE", 1_500)

    with pytest.raises(OnlineStoreError):
        reader.read([{"user": user} for user in USERS])

    client._is_stale = False  # as if another thread had just learned the slots: the connections are used at once
    others = [{"user": f"other {number}"} for number in range(60)]
    assert reader.read(others).values == [[2.0]] * 60  # the late answers come while it waits
    client.close()


def test_after_a_failover_calls_go_to_the_new_primary(cluster: list[Server], start_server: StartServer) -> None:
    replica = start_server(cluster_enabled="yes", cluster_node_timeout=2000)
    execute(replica, "CLUSTER", "MEET", "127.0.0.1", cluster[2].port)
    primary_id = execute(cluster[2], "CLUSTER", "MYID")
    wait_until(lambda: primary_id in execute(replica, "CLUSTER", "NODES"))
    execute(replica, "CLUSTER", "REPLICATE", primary_id)
    wait_until(lambda: all(b"slave" in execute(node, "CLUSTER", "NODES") for node in cluster))
    client = connect(cluster_address(cluster), timeout_seconds=10)
    reader = FeatureReader(plan(view()), client, lambda: NOON)
    rows = [{"user": user} for user in USERS]
    write_all(client, 0, 1.0)
    execute(cluster[2], "WAIT", 1, 5_000)
    wait_until(lambda: execute(replica, "DBSIZE") == execute(cluster[2], "DBSIZE"))

    cluster[2].kill()
    with pytest.raises(OnlineStoreError, match="does not answer"):
        reader.read(rows)
    wait_until(lambda: is_readable(reader, rows))

    assert reader.read(rows).values == [[1.0]] * 60
    assert write_all(client, 1, 2.0) == WriteCounts(written=60)
    client.close()


def test_many_entities_are_read_without_blocking_the_event_loop(cluster: list[Server]) -> None:
    writer = connect(cluster_address(cluster), timeout_seconds=10)
    keys = [b"{%d}" % number for number in range(50)]
    for key in keys:
        writer.set(key, key)
    writer.close()

    async def read() -> list[bytes | None]:
        client = connect_async(cluster_address(cluster), timeout_seconds=10)
        try:
            return await multi_get_async(client)([*keys, b"absent"])
        finally:
            await client.aclose()

    assert asyncio.run(read()) == [*keys, None]


def test_a_node_of_a_cluster_addressed_as_one_server_is_named_as_such(cluster: list[Server]) -> None:
    client = connect(cluster[0].address, timeout_seconds=10)

    with pytest.raises(OnlineStoreError, match=r"is one node of a Cluster.*redis\+cluster://"):
        write_all(client, 0, 1.0)
    client.close()


def test_a_server_that_is_no_cluster_is_named_as_such(start_server: StartServer) -> None:
    with pytest.raises(OnlineStoreError, match=r"is no Cluster.*redis://"):
        connect(f"redis+cluster://127.0.0.1:{start_server().port}", timeout_seconds=10)


def test_a_cluster_that_does_not_answer_is_one_sentence() -> None:
    with pytest.raises(OnlineStoreError, match=r"redis\+cluster://127\.0\.0\.1:1 does not answer.*LARDER_REDIS"):
        connect("redis+cluster://:secret@127.0.0.1:1")


def is_readable(reader: FeatureReader, rows: list[dict[str, str]]) -> bool:
    try:
        return bool(reader.read(rows).values)
    except OnlineStoreError:
        return False


def move_slot_begun(cluster: list[Server], slot: int) -> tuple[Server, Server]:
    """The node that has the slot and the one that begins to take it over."""
    source = next(node for number, node in enumerate(cluster) if slot < (number + 1) * 16_384 // 3)
    target = next(node for node in cluster if node is not source)
    execute(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", execute(source, "CLUSTER", "MYID"))
    execute(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", execute(target, "CLUSTER", "MYID"))
    return source, target


def migrate(source: Server, target: Server, slot: int) -> None:
    keys = execute(source, "CLUSTER", "GETKEYSINSLOT", slot, 100)
    execute(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)


def move_slot_ended(cluster: list[Server], slot: int, source: Server, target: Server) -> None:
    if execute(source, "CLUSTER", "COUNTKEYSINSLOT", slot):
        migrate(source, target, slot)
    target_id = execute(target, "CLUSTER", "MYID")
    for node in (target, source, *cluster):
        execute(node, "CLUSTER", "SETSLOT", slot, "NODE", target_id)


def execute(node: Server, *command: object) -> Any:
    with closing(node.client()) as client:
        return client.execute_command(*command)
