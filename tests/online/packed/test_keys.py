from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.cluster import key_slot

from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.plan import Feature, ViewPlan
from larder.online.packed.keys import NULL_ENTITY, entity_encoder, view_prefix
from tests.online.rows import NOON, view

NAMES = st.text(min_size=1, max_size=6)


@given(NAMES, NAMES, NAMES, NAMES)
def test_no_view_of_any_project_is_a_prefix_of_another(a: str, b: str, c: str, d: str) -> None:
    one, other = view_prefix(a, b), view_prefix(c, d)

    assert ((a, b) == (c, d)) == one.startswith(other)


@given(NAMES, NAMES)
def test_prefixes_hold_no_pattern_character_and_no_brace(project: str, name: str) -> None:
    assert not set(view_prefix(project, name)) & set(b"*?[]^\\{}")


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_composite_keys_are_unambiguous(one: tuple[str, str], other: tuple[str, str]) -> None:
    encode = entity_encoder(view(keys="a:string b:string"))

    assert (one == other) == (encode({"a": one[0], "b": one[1]}) == encode({"a": other[0], "b": other[1]}))


def test_text_and_number_are_different_entities() -> None:
    text, number = entity_encoder(view(keys="k:string")), entity_encoder(view(keys="k:int64"))

    assert (text({"k": "12"}), number({"k": 12})) == (b"{s2:12}", b"{i2:12}")


@pytest.mark.parametrize("user", ["ann", "}", "{a}", "a}b"])
def test_all_views_of_one_entity_share_a_cluster_slot(user: str) -> None:
    entity = entity_encoder(view())({"user": user})

    assert key_slot(view_prefix("shop", "visits") + entity) == key_slot(view_prefix("shop", "orders") + entity)


def test_a_null_part_makes_an_entity_that_is_never_stored() -> None:
    encode = entity_encoder(view(keys="a:string b:int64"))

    assert encode({"a": "x", "b": None}) == encode({"a": None, "b": 1}) == NULL_ENTITY
    assert entity_encoder(view(keys=""))({}) != NULL_ENTITY


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("string", 1),
        ("string", b"a"),
        ("string", "\ud800"),
        ("int64", "1"),
        ("int64", True),
        ("int64", 1.0),
        ("int64", 2**63),
        ("int32", 2**31),
        ("bytes", "a"),
        ("unix_timestamp", NOON.replace(tzinfo=None)),
        ("unix_timestamp", "2024-05-01T12:00:00Z"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_the_field(dtype: str, value: Any) -> None:
    with pytest.raises(InvalidDataError, match="'user'") as refusal:
        entity_encoder(view(keys=f"user:{dtype}"))({"user": value})
    assert refusal.value.field == "user"
    assert len(str(refusal.value)) < 200


def test_a_missing_key_is_refused_with_the_field() -> None:
    with pytest.raises(InvalidDataError, match="lacks the key 'user'"):
        entity_encoder(view())({"shop": "a"})


def test_a_key_is_looked_up_under_its_name_in_the_request() -> None:
    encode = entity_encoder(view(keys="city:string", request_keys=("home_town",)))

    assert encode({"home_town": "Ulm", "city": "Bonn"}) == b"{s3:Ulm}"


def test_a_type_that_cannot_be_a_key_is_refused_with_its_name() -> None:
    with pytest.raises(ConfigurationError, match="Join key 'rate' of view 'visits' has type float64"):
        entity_encoder(ViewPlan("visits", (Feature("rate", "float64"),), ("rate",), (), None))


def test_an_instant_is_the_same_key_in_every_time_zone() -> None:
    encode = entity_encoder(view(keys="t:unix_timestamp"))

    assert encode({"t": NOON}) == encode({"t": datetime.fromisoformat("2024-05-01T14:00:00+02:00")})


def test_the_refusal_of_a_monstrous_number_does_not_spell_it_out() -> None:
    with pytest.raises(InvalidDataError, match="a number of more than 64 bits"):
        entity_encoder(view(keys="user:int64"))({"user": 10**5000})
