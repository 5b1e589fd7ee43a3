import asyncio
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import dill
import pyarrow as pa
import pytest
import redis

from larder.contracts.errors import ConfigurationError, InvalidDataError, SchemaMismatchError
from larder.contracts.plan import Column, Feature, FeaturePlan, OnDemandPlan, ViewPlan
from larder.contracts.settings import Settings
from larder.online import AsyncFeatureReader, FeatureReader, FeatureRows, Status
from larder.online.reading.compiled import WORTH_HALVING
from larder.online.server.connection import connect_async
from larder.online.server.embedded import online_address
from larder.online.writing.writer import write_records
from tests.online.rows import NOON, at, plan, view, visits

PRESENT, NOT_FOUND, OUTSIDE_MAX_AGE = Status.PRESENT, Status.NOT_FOUND, Status.OUTSIDE_MAX_AGE


def reader(client: redis.Redis, feature_plan: FeaturePlan, *, minutes: float = 0) -> FeatureReader:
    return FeatureReader(feature_plan, client, lambda: at(minutes))


def on_demand(function: Callable[..., Any], inputs: str, outputs: str, name: str = "derived") -> OnDemandPlan:
    """A plan from words: inputs like "visits:score :basket", outputs like "ratio:float64"."""
    pairs = tuple(tuple(word.split(":")) for word in inputs.split())
    return OnDemandPlan(
        name=name,
        function=dill.dumps(function, byref=False, recurse=True),
        inputs=pairs,  # type: ignore[arg-type]
        outputs=tuple(Feature(*word.split(":")) for word in outputs.split()),
    )


def derived_plan(
    function: Callable[..., Any],
    inputs: str = "visits:score :basket",
    output: str = "out:float64",
    dtype: str = "float64",
) -> FeaturePlan:
    """One stored view, one request field `basket`, one on-demand output."""
    derived = on_demand(function, inputs, output)
    columns = tuple(Column(o.name, derived.name, o.name, o.dtype) for o in derived.outputs)
    return plan(
        view(ttl_seconds=600.0), on_demand=(derived,), request_fields=(Feature("basket", dtype),), columns=columns
    )


def test_present_null_missing_and_too_old_are_told_apart(redis_client: redis.Redis) -> None:
    short_lived = view(ttl_seconds=600.0)
    write_records(
        redis_client, short_lived, "shop", visits(("ann", 0, 0, 1.0), ("bob", 0, 0, None), ("old", -11, 0, 5.0))
    )

    rows = reader(redis_client, plan(short_lived)).read([{"user": name} for name in ("ann", "bob", "eve", "old", None)])

    assert rows.values == [[1.0], [None], [None], [None], [None]]
    assert rows.statuses == [(PRESENT,), (PRESENT,), (NOT_FOUND,), (OUTSIDE_MAX_AGE,), (NOT_FOUND,)]


def test_a_reader_in_an_event_loop_gives_the_same_answers_to_many_at_once(
    redis_client: redis.Redis, redis_settings: Settings
) -> None:
    short_lived = view(ttl_seconds=600.0)
    users = [f"user {number}" for number in range(50)]
    write_records(redis_client, short_lived, "shop", visits(*((name, 0, 0, float(len(name))) for name in users)))
    requests = [[{"user": name}, {"user": "eve"}] for name in users]

    async def read_all() -> list[FeatureRows]:
        client = connect_async(online_address(redis_settings), timeout_seconds=10)
        loop_reader = AsyncFeatureReader(plan(short_lived), client, lambda: at(0))
        try:
            return list(await asyncio.gather(*map(loop_reader.read, requests)))
        finally:
            await loop_reader.close()

    assert asyncio.run(read_all()) == [reader(redis_client, plan(short_lived)).read(rows) for rows in requests]


def test_a_value_is_withheld_only_after_its_ttl(redis_client: redis.Redis) -> None:
    short_lived = view(ttl_seconds=600.0)
    write_records(redis_client, short_lived, "shop", visits(("ann", 0, 0, 1.0)))

    assert reader(redis_client, plan(short_lived), minutes=10).read([{"user": "ann"}]).values == [[1.0]]
    assert reader(redis_client, plan(short_lived), minutes=10.001).read([{"user": "ann"}]).values == [[None]]


def test_columns_come_in_the_order_of_the_plan_from_all_views(redis_client: redis.Redis) -> None:
    baskets = view("baskets", keys="shop:int64 user:string", features="items:int64 paid_at:unix_timestamp note:string")
    write_records(redis_client, view(), "shop", visits(("ann", 0, 0, 1.5)))
    basket = {
        "user": ["ann"],
        "shop": [7],
        "items": [3],
        "paid_at": [NOON],
        "note": ["Grüße"],
        "event_timestamp": [NOON],
    }
    write_records(redis_client, baskets, "shop", pa.table(basket))
    columns = tuple(
        Column(name, v, name, t)
        for name, v, t in [
            ("note", "baskets", "string"),
            ("score", "visits", "float64"),
            ("paid_at", "baskets", "unix_timestamp"),
        ]
    )

    rows = reader(redis_client, plan(view(), baskets, columns=columns)).read(
        [{"user": "ann", "shop": 7}, {"user": "ann", "shop": 8}]
    )

    assert rows.values == [["Grüße", 1.5, NOON], [None, 1.5, None]]
    assert rows.statuses == [(PRESENT, PRESENT, PRESENT), (NOT_FOUND, PRESENT, NOT_FOUND)]


def test_one_view_serves_two_roles_under_two_names(redis_client: redis.Redis) -> None:
    buyer = view(request_keys=("buyer",), alias="buyer_visits")
    seller = view(request_keys=("seller",), alias="seller_visits")
    write_records(redis_client, view(), "shop", visits(("ann", 0, 0, 1.0), ("bob", 0, 0, 2.0)))

    rows = reader(redis_client, plan(buyer, seller)).read([{"buyer": "bob", "seller": "ann"}])

    assert rows.values == [[2.0, 1.0]]


@pytest.mark.parametrize(("rows", "commands"), [(30, 1), (50, 2)], ids=["few keys", "two halves, sent together"])
def test_one_call_is_one_round_trip(redis_client: redis.Redis, rows: int, commands: int) -> None:
    views = [view(f"visits_{i}") for i in range(5)]
    features = reader(redis_client, plan(*views))
    features.read([{"user": "ann"}])
    before = redis_client.info("stats")["total_commands_processed"]

    features.read([{"user": str(i)} for i in range(rows)])

    assert redis_client.info("stats")["total_commands_processed"] - before == commands + 1  # that of this question


def test_many_rows_are_read_as_one_by_one(redis_client: redis.Redis) -> None:
    views = [view(f"view_{number}", features=f"f{number}:float64") for number in range(4)]
    users = [f"user {number}" for number in range(WORTH_HALVING)]
    for number, stored in enumerate(views):
        columns = {"user": users[number:], f"f{number}": [float(i) for i in range(len(users) - number)]}
        times = [NOON] * len(columns["user"])
        write_records(redis_client, stored, "shop", pa.table(columns | {"event_timestamp": times, "known_at": times}))
    features = reader(redis_client, plan(*views))

    together = features.read([{"user": user} for user in users])

    one_by_one = [features.read([{"user": user}]) for user in users]
    assert together.values == [rows.values[0] for rows in one_by_one]
    assert together.statuses == [rows.statuses[0] for rows in one_by_one]


def test_no_rows_are_no_rows(redis_client: redis.Redis) -> None:
    assert reader(redis_client, plan(view())).read([]).values == []


def test_threads_may_share_a_reader(redis_client: redis.Redis) -> None:
    write_records(redis_client, view(), "shop", visits(*[(str(i), 0, 0, float(i)) for i in range(40)]))
    shared = reader(redis_client, plan(view()))

    def is_right(number: int) -> bool:
        return all(shared.read([{"user": str(number)}]).values == [[float(number)]] for _ in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(is_right, range(8)))


@pytest.mark.parametrize("changed", ["score:int64", "score:float64 age:int64", "score:bool", "score:string"])
def test_a_changed_schema_is_refused_and_never_misread(redis_client: redis.Redis, changed: str) -> None:
    write_records(redis_client, view(), "shop", visits(("ann", 0, 0, 1.0)))

    with pytest.raises(SchemaMismatchError, match="visits"):
        reader(redis_client, plan(view(features=changed))).read([{"user": "ann"}])


def ratio(inputs: dict[str, Any]) -> dict[str, Any]:
    pairs = zip(inputs["score"], inputs["basket"], strict=True)
    return {"out": [None if score is None else score / basket for score, basket in pairs]}


def test_an_on_demand_function_sees_stored_and_request_values(redis_client: redis.Redis) -> None:
    feature_plan = derived_plan(ratio)
    write_records(redis_client, feature_plan.views[0], "shop", visits(("ann", 0, 0, 6.0), ("old", -11, -11, 6.0)))

    rows = reader(redis_client, feature_plan).read([{"user": name, "basket": 4} for name in ("ann", "old", "eve")])

    assert rows.values == [[1.5], [None], [None]]
    assert rows.statuses == [(PRESENT,), (OUTSIDE_MAX_AGE,), (NOT_FOUND,)]


def test_an_on_demand_function_may_use_full_names(redis_client: redis.Redis) -> None:
    feature_plan = derived_plan(lambda inputs: {"out": [score or 0 for score in inputs["visits__score"]]})
    write_records(redis_client, feature_plan.views[0], "shop", visits(("ann", 0, 0, 6.0)))

    assert reader(redis_client, feature_plan).read([{"user": "ann", "basket": 1}]).values == [[6.0]]


def test_an_on_demand_function_knows_a_view_by_its_own_name_whatever_the_service_calls_it(
    redis_client: redis.Redis,
) -> None:
    """As training does, and Feast itself."""
    function = on_demand(lambda inputs: {"out": inputs["visits__score"]}, "buyer:score", "out:float64")
    buyer = view("visits@v2", alias="buyer")
    columns = (Column("out", "derived", "out", "float64"),)
    write_records(redis_client, buyer, "shop", visits(("ann", 0, 0, 6.0)))

    assert reader(redis_client, plan(buyer, on_demand=(function,), columns=columns)).read([{"user": "ann"}]).values == [
        [6.0]
    ]


def test_an_on_demand_float32_is_the_number_that_training_had(redis_client: redis.Redis) -> None:
    feature_plan = derived_plan(lambda inputs: {"out": inputs["basket"]}, inputs=":basket", output="out:float32")

    rows = reader(redis_client, feature_plan).read([{"user": "ann", "basket": 0.1}])

    assert rows.values == [[pa.scalar(0.1, pa.float32()).as_py()]]
    with pytest.raises(ConfigurationError, match="must return a list of float32"):
        reader(redis_client, feature_plan).read([{"user": "ann", "basket": 1e39}])
    worded = derived_plan(lambda inputs: {"out": ["text"]}, inputs=":basket", output="out:float32")
    with pytest.raises(ConfigurationError, match="must return a list of float32"):
        reader(redis_client, worded).read([{"user": "ann", "basket": 1}])


def test_a_feature_of_request_data_alone_is_always_present(redis_client: redis.Redis) -> None:
    feature_plan = derived_plan(lambda inputs: {"out": inputs["basket"]}, inputs=":basket")

    rows = reader(redis_client, feature_plan).read([{"user": "nobody", "basket": 3}])

    assert (rows.values, rows.statuses) == ([[3.0]], [(PRESENT,)])


def test_a_null_that_the_function_cannot_bear_is_the_callers_error(redis_client: redis.Redis) -> None:
    feature_plan = derived_plan(ratio)
    write_records(redis_client, feature_plan.views[0], "shop", visits(("ann", 0, 0, 6.0)))

    with pytest.raises(InvalidDataError, match="'basket' is null") as refusal:
        reader(redis_client, feature_plan).read([{"user": "ann", "basket": None}])
    assert refusal.value.field == "basket"


@pytest.mark.parametrize(
    "function",
    [
        lambda inputs: 1 / 0,
        lambda inputs: {},
        lambda inputs: {"out": []},
        lambda inputs: {"out": ["text"] * len(inputs["basket"])},
        lambda inputs: None,
    ],
)
def test_a_function_that_breaks_its_promise_is_named(redis_client: redis.Redis, function: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match="On-demand view 'derived'"):
        reader(redis_client, derived_plan(function)).read([{"user": "ann", "basket": 1}])


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("float64", "1"),
        ("float64", True),
        ("float64", 10**400),
        ("int64", 1.0),
        ("int64", 2**63),
        ("bool", 1),
        ("string", 1),
        ("unix_timestamp", "2024-05-01T12:00:00"),
        ("unix_timestamp", "yesterday"),
        ("unix_timestamp", 1714564800),
        ("unix_timestamp", datetime(2024, 5, 1, 12)),
        ("unix_timestamp", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_request_data_of_the_wrong_type_is_refused_with_the_field(
    redis_client: redis.Redis, dtype: str, value: Any
) -> None:
    feature_plan = derived_plan(lambda inputs: {"out": inputs["basket"]}, dtype=dtype)

    with pytest.raises(InvalidDataError, match="'basket' must be") as refusal:
        reader(redis_client, feature_plan).read([{"user": "ann", "basket": value}])
    assert refusal.value.field == "basket"


def test_missing_request_data_is_refused_with_the_field(redis_client: redis.Redis) -> None:
    with pytest.raises(InvalidDataError, match="lacks 'basket'"):
        reader(redis_client, derived_plan(ratio)).read([{"user": "ann"}])


def test_request_instants_reach_the_function_as_utc(redis_client: redis.Redis) -> None:
    feature_plan = derived_plan(
        lambda inputs: {"out": [at.hour for at in inputs["basket"]]}, inputs=":basket", dtype="unix_timestamp"
    )

    assert reader(redis_client, feature_plan).read([{"user": "ann", "basket": "2024-05-01T14:00:00+02:00"}]).values == [
        [12.0]
    ]


def test_a_view_without_features_or_a_plan_without_columns_is_read(redis_client: redis.Redis) -> None:
    assert reader(redis_client, plan(ViewPlan("empty", (), (), (), None))).read([{}]).values == [[]]


def test_the_reader_loads_nothing_heavy() -> None:
    program = (
        "import sys, time, larder.online\n"
        "larder.online.FeatureReader\n"
        "heavy = {'feast', 'pyspark', 'mlflow', 'pandas', 'pyarrow', 'numpy', 'redis'} & set(sys.modules)\n"
        "print(sorted(heavy), time.process_time() < 1.5)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[] True"
