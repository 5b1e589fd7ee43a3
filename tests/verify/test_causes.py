"""Each cause of a difference, brought about for real: Delta, Feast's materialization, Redis."""

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import redis
from click.testing import CliRunner
from deltalake import write_deltalake
from feast import Field
from feast.types import Float64, String

from larder.offline.history import History
from larder.online.position import Position, write_position
from larder.online.writing.writer import write_records
from larder.verify.causes import CAUSES
from larder.verify.cli import verify
from larder.verify.scope import everything
from larder.verify.views import VerifiedView
from tests.online.rows import at, view, visits
from tests.verify.shop import Shop, visits_view, with_ttl


def test_equal_values_nulls_and_nans_are_no_difference(shop: Shop):
    shop.append(("a", 0, 0, 1.0), ("b", 0, 0, None), ("c", 0, 0, float("nan")))
    shop.materialize(1)

    result = shop.compared(1)

    assert (result.entities, result.compared, result.different, result.strays) == (3, 3, 0, 0)


def test_missing_is_an_entity_that_redis_lost(shop: Shop):
    shop.append(("a", 0, 0, 1.0), ("b", 0, 0, 2.0))
    shop.materialize(1)
    shop.client.delete(shop.key("a"))

    assert shop.causes(1) == {"missing": 1}
    shop.client.flushall()
    assert shop.causes(1) == {"missing": 2}


def test_lag_is_a_newer_row_beyond_the_position(shop: Shop):
    shop.append(("a", 0, 0, 1.0))
    shop.materialize(1)
    shop.append(("a", 2, 2, 2.0))

    assert shop.causes(3) == {"lag": 1}
    shop.materialize(3)
    assert shop.causes(3) == {}


def test_late_is_a_row_from_before_the_position_in_a_later_version_of_the_table(shop: Shop):
    shop.append(("late", 0, 0, 1.0), ("corrected", 0, 0, 1.0))
    shop.materialize(10)
    shop.append(("late", 5, 5, 2.0), ("corrected", 0, 6, 3.0))

    assert shop.causes(10) == {"late": 2}
    shop.materialize(11)
    assert shop.causes(11) == {}


def test_ttl_is_one_row_that_only_one_side_calls_too_old(shop: Shop):
    shop.append(("a", 0, 0, 1.0))
    shop.materialize(1)
    frozen = with_ttl(shop.view, timedelta(minutes=5))

    assert shop.causes(4, frozen) == {}
    assert shop.causes(6, frozen) == {"ttl": 1}


def test_schema_is_a_record_from_before_the_fields_changed(shop: Shop):
    shop.append(("a", 0, 0, 1.0), ("b", 0, 0, 1.0))
    shop.materialize(1)
    shop.store.apply([visits_view(schema=[*visits_view().schema, Field(name="label", dtype=String)])])
    shop.append_table(visits(("c", 0, 0, 1.0)).append_column("label", pa.array(["x"])))

    result = shop.compared(1)

    assert {item.feature: item.causes for item in result.features} == {
        "score": {"schema": 2, "missing": 1},
        "label": {"schema": 2, "missing": 1},
    }


def test_damaged_is_what_is_no_whole_record(shop: Shop):
    shop.append(("cut", 0, 0, 1.0), ("empty", 0, 0, 1.0), ("whole", 0, 0, 1.0))
    shop.materialize(1)
    shop.client.set(shop.key("cut"), shop.client.get(shop.key("cut"))[:-1])
    shop.client.set(shop.key("empty"), b"")

    assert shop.causes(1) == {"damaged": 2}


def test_extra_is_a_row_that_history_does_not_hold(shop: Shop):
    shop.append(("newer online", 0, 0, 1.0), ("known later", 9, 9, 1.0))
    shop.materialize(1)
    write_records(shop.client, shop.view.plan, "shop", visits(("newer online", 1, 1, 2.0), ("known later", 1, 1, 1.0)))

    assert shop.causes(2) == {"extra": 2}


def test_ahead_is_a_row_from_after_the_instant_but_not_from_the_far_future(shop: Shop):
    shop.append(("a", 0, 0, 1.0), ("a", 5, 5, 2.0), ("frozen", 0, 0, 1.0))
    shop.materialize(6)
    write_records(shop.client, shop.view.plan, "shop", visits(("frozen", 60, 60, 9.0)))

    assert shop.causes(2) == {"ahead": 1, "extra": 1}


def test_bug_is_another_value_for_the_same_row_or_an_older_row_than_the_position_says(shop: Shop):
    shop.append(("other value", 0, 0, 1.0), ("lost write", 0, 0, 1.0))
    shop.materialize(1)
    shop.append(("lost write", 2, 2, 2.0))
    write_records(shop.client, shop.view.plan, "shop", visits(("other value", 0, 0, 7.0)))
    position = Position(shop.view.history.table, 1, at(3))
    write_position(shop.client, "shop", "visits", position)

    assert shop.causes(3) == {"bug": 2}


def test_a_bug_is_claimed_only_when_materialization_had_seen_the_table_as_it_is(shop: Shop):
    shop.append(("a", 0, 0, 1.0))
    shop.materialize(1)
    shop.append(("a", 0, 0, 2.0))

    assert shop.causes(1) == {"late": 1}


def test_an_entity_that_history_never_heard_of_is_a_stray(shop: Shop):
    shop.append(("a", 0, 0, 1.0))
    shop.materialize(1)
    write_records(shop.client, shop.view.plan, "shop", visits(("eve", 0, 0, 2.0), ("zoë", 0, 0, 2.0)))
    shop.client.set(shop.key("x")[:-1] + b"?}", b"anything")

    result = shop.compared(1)

    assert (result.entities, result.strays, result.compared, result.different) == (1, 3, 4, 3)


def test_a_value_past_its_ttl_on_both_sides_is_stale(shop: Shop):
    shop.store.apply([visits_view(ttl=timedelta(minutes=5))])
    shop.append(("old", 0, 0, 1.0), ("young", 4, 4, 1.0), ("old and missing", 0, 0, 1.0))
    shop.materialize(4)
    shop.client.delete(shop.key("old and missing"))

    (score,) = shop.compared(7).features

    assert (score.equal, score.stale, score.different) == (2, 1, 0)


def test_an_older_row_with_the_same_value_is_no_difference(shop: Shop):
    shop.append(("a", 0, 0, 1.0))
    shop.materialize(1)
    shop.append(("a", 2, 2, 1.0))

    assert shop.causes(3) == {}


def test_a_view_without_entities_is_one_entity(shop: Shop):
    shop.store.delete_feature_view("visits")
    shop.store.apply([visits_view(entities=[], schema=[Field(name="score", dtype=Float64)])])
    shop.append(("", 0, 0, 1.0))
    shop.materialize(1)

    assert shop.compared(1).entities == 1
    assert shop.causes(1) == {}
    shop.append(("", 2, 2, 5.0))
    assert shop.causes(3) == {"lag": 1}


def test_entities_are_compared_in_batches_that_add_up(shop: Shop, monkeypatch):
    monkeypatch.setattr("larder.verify.proof.ENTITIES_AT_ONCE", 7)
    monkeypatch.setattr("larder.verify.proof.ENTITIES_PER_PART", 3)
    shop.append(*((f"user {number}", 0, 0, float(number)) for number in range(20)))
    shop.materialize(1)
    shop.client.delete(shop.key("user 6"), shop.key("user 19"))

    result = shop.compared(1)

    assert (result.entities, result.different) == (20, 2)
    assert shop.causes(1) == {"missing": 2}


def test_help_explains_every_cause():
    said = CliRunner().invoke(verify, ["--help"]).output

    assert all(f"  {cause} " in said for cause in CAUSES)


def test_a_stray_whose_key_the_table_could_not_store_is_a_stray(redis_client: redis.Redis, tmp_path: Path):
    plan, place = view(keys="user:int64"), str(tmp_path / "visits")
    rows = visits(("1", 0, 0, 1.0), ("2", 0, 0, 2.0))
    write_records(redis_client, plan, "shop", rows.set_column(0, "user", pa.array([1, 2**40])))
    write_deltalake(place, rows.slice(0, 1).set_column(0, "user", pa.array([1], pa.int32())))
    history = History(place, ("user",), ("score",), "event_timestamp", "known_at", cutoff=True)

    parts = everything(redis_client, clock=lambda: at(1))(VerifiedView(plan, history, "shop"))

    assert [(part.part.entities, part.part.strays) for part in parts] == [(1, 0), (0, 1), (0, 0)]
