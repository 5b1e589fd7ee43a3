"""Rows and records with equal instants, of features that a record holds as bytes."""

from typing import Any

import pytest
import redis

from larder.push.write import Online, write_newer
from tests.online.packed.values import column
from tests.online.rows import view, visits


@pytest.mark.parametrize(
    ("dtype", "less", "greater"),
    [("string", "a", "b"), ("bytes", None, b"a"), ("array<float64>", [1.0], [2.0]), ("decimal", "1.5", "2.5")],
)
def test_of_two_rows_with_equal_instants_the_greater_content_stays_whichever_came_first(
    redis_client: redis.Redis, dtype: str, less: Any, greater: Any
):
    online = Online(redis_client, "shop", view(features=f"value:{dtype}"))
    users = visits(("up", 0, 0, 1.0), ("down", 0, 0, 1.0))

    write_newer(online, users.append_column("value", column([less, greater], dtype)))
    write_newer(online, users.append_column("value", column([greater, less], dtype)))

    expected = online.packed(users.append_column("value", column([greater, greater], dtype)))
    assert dict(zip(expected, online.stored(list(expected)), strict=True)) == expected
