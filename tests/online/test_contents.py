import pyarrow as pa
import redis

from larder.online.contents import count_entities, delete_project, delete_view, read_view
from larder.online.position import Position, read_position, write_position
from larder.online.writing.writer import write_records
from tests.online.rows import NOON, at, view, visits


def test_a_view_is_read_row_for_row_whatever_its_age(redis_client: redis.Redis) -> None:
    short_lived = view(ttl_seconds=1)
    write_records(redis_client, short_lived, "shop", visits(("ann", 0, 5, 1.0), ("bob", 1, 1, None)))

    rows = read_view(redis_client, short_lived, "shop", pa.table({"user": ["bob", "eve", None, "ann"]}))

    assert rows.to_pylist() == [
        {"user": "bob", "score": None, "event_timestamp": at(1), "known_at": at(1)},
        {"user": "eve", "score": None, "event_timestamp": None, "known_at": None},
        {"user": None, "score": None, "event_timestamp": None, "known_at": None},
        {"user": "ann", "score": 1.0, "event_timestamp": at(0), "known_at": at(5)},
    ]


def test_values_of_every_shape_come_back_in_the_types_of_the_offline_join(redis_client: redis.Redis) -> None:
    shapes = view(features="vector:array<float32> size:struct<cm:int32> note:json at:unix_timestamp big:float64")
    columns = {
        "vector": pa.array([[0.5, None], []], pa.list_(pa.float32())),
        "size": pa.array([{"cm": 3}, None], pa.struct({"cm": pa.int32()})),
        "note": pa.array(['{"a": 1}', "2"], pa.large_string()),
        "at": pa.array([NOON, at(1)], pa.timestamp("us", "UTC")),
        "big": pa.array([float("inf"), -0.0]),
    }
    write_records(
        redis_client, shapes, "shop", pa.table(columns | {"user": ["ann", "bob"], "event_timestamp": [NOON] * 2})
    )

    rows = read_view(redis_client, shapes, "shop", pa.table({"user": ["ann", "bob"]}))

    assert rows.select(list(columns)).equals(pa.table(columns))


def test_entities_are_counted_per_view(redis_client: redis.Redis) -> None:
    write_records(redis_client, view(), "shop", visits(("ann", 0, 0, 1.0), ("bob", 0, 0, 1.0)))
    write_records(redis_client, view("visits2"), "shop", visits(("ann", 0, 0, 1.0)))
    write_position(redis_client, "shop", "visits", Position("gold/visits", 1, NOON))

    assert count_entities(redis_client, "shop", "visits") == 2
    assert count_entities(redis_client, "shop", "visit") == 0


def test_deleting_a_view_of_project_b_leaves_that_of_project_ab(redis_client: redis.Redis) -> None:
    for project in ("b", "ab", "ba", "b*", "b:6"):
        write_records(redis_client, view(), project, visits(("ann", 0, 0, 1.0)))

    delete_view(redis_client, "b", "visits")

    assert [count_entities(redis_client, name, "visits") for name in ("b", "ab", "ba", "b*", "b:6")] == [0, 1, 1, 1, 1]


def test_deleting_a_view_leaves_views_with_similar_names(redis_client: redis.Redis) -> None:
    for name in ("visits", "visits_2", "v", "*"):
        write_records(redis_client, view(name), "shop", visits(("ann", 0, 0, 1.0)))
        write_position(redis_client, "shop", name, Position("gold", 1, NOON))

    delete_view(redis_client, "shop", "visits")
    delete_view(redis_client, "shop", "*")

    left = [name for name in ("visits", "visits_2", "v", "*") if count_entities(redis_client, "shop", name)]
    assert left == ["visits_2", "v"]
    assert read_position(redis_client, "shop", "visits") is None
    assert read_position(redis_client, "shop", "visits_2") is not None


def test_deleting_a_project_leaves_projects_with_similar_names(redis_client: redis.Redis) -> None:
    for project in ("shop", "shop2", "sho", "*"):
        write_records(redis_client, view(), project, visits(("ann", 0, 0, 1.0)))
        write_position(redis_client, project, "visits", Position("gold", 1, NOON))

    delete_project(redis_client, "shop")
    delete_project(redis_client, "*")

    left = [key.split(b":")[2] for key in redis_client.scan_iter()]
    assert sorted(left) == [b"sho", b"sho", b"shop2", b"shop2"]


def test_a_view_without_entities_has_one_record(redis_client: redis.Redis) -> None:
    overall = view("overall", keys="")
    write_records(redis_client, overall, "shop", visits(("", 0, 0, 7.0)))

    rows = read_view(redis_client, overall, "shop", pa.table({"row": [1, 2]}))

    assert rows["score"].to_pylist() == [7.0, 7.0]
    assert count_entities(redis_client, "shop", "overall") == 1
