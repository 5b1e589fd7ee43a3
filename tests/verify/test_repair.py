"""`larder verify --repair`: what is wrong is put right, what is right or newer stays."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from larder.online.position import read_position
from larder.online.server.connection import client_address, connect
from larder.online.writing.writer import write_records
from larder.verify import scope
from larder.verify.repair import repaired
from tests.online.rows import at, visits
from tests.verify.shop import Shop


def test_a_repair_puts_right_every_cause_at_once(shop: Shop):
    shop.append(*((name, 0, 0, 1.0) for name in ("missing", "damaged", "bug", "extra", "right")))
    shop.materialize(1)
    shop.client.delete(shop.key("missing"))
    shop.client.append(shop.key("damaged"), b"!")
    wrong = visits(("bug", 0, 0, 7.0), ("extra", 1, 1, 7.0), ("stray", 0, 0, 7.0))
    write_records(shop.client, shop.view.plan, "shop", wrong)
    shop.client.set(shop.key("no entity") + b"}", b"anything")
    before = read_position(shop.client, "shop", "visits")

    counts = shop.repaired(2)

    assert counts == {"missing": 1, "damaged": 1, "bug": 1, "extra": 3}
    names = ["missing", "damaged", "bug", "extra", "right"]
    assert shop.online(*names, "stray") == dict.fromkeys(names, 1.0)
    assert (shop.compared(2).different, shop.compared(2).strays) == (0, 0)
    assert shop.client.dbsize() == len(names) + 1
    assert read_position(shop.client, "shop", "visits") == before


def test_a_bit_that_flipped_in_an_event_timestamp_keeps_writers_out_but_not_the_repair(shop: Shop):
    shop.append(("a", 0, 0, 1.0))
    shop.materialize(1)
    record = bytearray(shop.client.get(shop.key("a")))
    record[18] ^= 0b10000  # years later
    shop.client.set(shop.key("a"), bytes(record))

    assert write_records(shop.client, shop.view.plan, "shop", visits(("a", 0, 0, 1.0))).kept == 1
    assert shop.repaired(1) == {"damaged": 1}
    assert shop.online("a") == {"a": 1.0}


def test_rows_that_materialization_has_yet_to_bring_are_repaired_too(shop: Shop):
    shop.append(("lag", 0, 0, 1.0), ("late", 0, 0, 1.0))
    shop.materialize(2)
    shop.append(("lag", 3, 3, 2.0), ("late", 1, 1, 2.0))

    assert shop.repaired(4) == {"lag": 1, "late": 1}
    assert shop.causes(4) == {}


def test_a_newer_value_that_comes_between_comparison_and_repair_stays(shop: Shop):
    shop.append(("wrong", 0, 0, 1.0), ("lost", 0, 0, 1.0))
    shop.materialize(1)
    view, plan = shop.view, shop.view.plan
    write_records(shop.client, plan, "shop", visits(("wrong", 0, 0, 7.0), ("stray", 0, 0, 7.0)))
    shop.client.delete(shop.key("lost"))
    parts = list(scope.everything(shop.client, clock=lambda: at(1))(view))
    write_records(shop.client, plan, "shop", visits(("wrong", 3, 3, 3.0), ("lost", 3, 3, 3.0), ("stray", 3, 3, 3.0)))

    counts = [repaired(shop.client, part) for part in parts]

    assert sum(count.total() for count in counts) == 0
    assert shop.online("wrong", "lost", "stray") == {"wrong": 3.0, "lost": 3.0, "stray": 3.0}


def test_an_entity_that_is_new_in_the_table_and_in_redis_is_no_stray(shop: Shop):
    """It may come while the proof runs, after the entities of the table were listed."""
    shop.append(("old", 0, 0, 1.0))
    shop.materialize(1)
    parts = scope.everything(shop.client, clock=lambda: at(3))(shop.view)
    first = next(parts)
    shop.append(("new", 2, 2, 1.0))
    shop.materialize(2)

    others = list(parts)

    assert [part.part.entities for part in (first, *others)] == [1, 1, 0]
    assert not any(part.part.strays or part.part.differences for part in others)


def test_what_is_ahead_of_the_clock_is_left_alone(shop: Shop):
    shop.append(("a", 0, 0, 1.0), ("a", 5, 5, 2.0))
    shop.materialize(6)

    assert shop.repaired(2) == {}
    assert shop.online("a") == {"a": 2.0}


@pytest.fixture
def no_scripts(shop: Shop) -> Iterator[redis.Redis]:
    """A client whose user may not run scripts."""
    shop.client.acl_setuser("plain", enabled=True, nopass=True, keys=["*"], categories=["+@all", "-@scripting"])
    client = connect(client_address(shop.client).replace("://", "://plain:none@"), timeout_seconds=10)
    yield client
    client.close()
    shop.client.acl_deluser("plain")


def test_a_repair_needs_no_scripts(shop: Shop, no_scripts: redis.Redis):
    shop.append(("a", 0, 0, 1.0))
    shop.materialize(1)
    shop.client.append(shop.key("a"), b"!")

    assert replace(shop, client=no_scripts).repaired(1) == {"damaged": 1}
    assert shop.causes(1) == {}
