import redis

from larder.online.position import Position, read_position, write_position
from tests.online.rows import NOON, at


def test_the_last_position_written_is_read_back(redis_client: redis.Redis) -> None:
    write_position(redis_client, "shop", "visits", Position("s3://lake/gold/visits", 3, NOON))
    write_position(redis_client, "shop", "visits", Position("s3://lake/gold/visits", 4, at(0.5)))

    assert read_position(redis_client, "shop", "visits") == Position("s3://lake/gold/visits", 4, at(0.5))
    assert read_position(redis_client, "shop", "orders") is None


def test_an_emptied_redis_has_no_position(redis_client: redis.Redis) -> None:
    write_position(redis_client, "shop", "visits", Position("gold/visits", 3, NOON))

    redis_client.flushall()

    assert read_position(redis_client, "shop", "visits") is None
