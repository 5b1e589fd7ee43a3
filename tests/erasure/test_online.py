"""`larder erase` and Redis: every record of the entity, whatever view and version it is of."""

import pyarrow as pa
import pytest
from feast import FeatureStore, Field
from feast.types import Float64, String

from larder.contracts.settings import Settings
from larder.erasure.online import OnlineRecords
from larder.erasure.subject import subject
from tests.erasure.conftest import Erase
from tests.online.rows import visits
from tests.verify.shop import Shop, stored_on_demand_view, visits_view


def test_an_entity_that_was_only_pushed_goes_from_redis(larder_erase: Erase, shop: Shop):
    from larder.push.write import Online, write_newer

    write_newer(Online(shop.client, "shop", shop.view.plan), visits(("pushed", 0, 0, 3.0)))
    assert shop.online("pushed") == {"pushed": 3.0}

    larder_erase("user=pushed", "--yes")

    assert shop.online("pushed", "a") == {"a": 1.0}


def test_entities_with_further_keys_are_found_by_one_of_them(shop: Shop, settings: Settings):
    import pyarrow as pa
    from feast import Entity, FeatureView, Field
    from feast.types import Float64, Int64, String
    from feast.value_type import ValueType

    from larder.offline import DeltaSource
    from larder.online.writing.writer import write_records
    from larder.verify.views import verified_views
    from tests.online.rows import at

    item = Entity(name="item", join_keys=["item"], value_type=ValueType.INT64)
    carts = FeatureView(
        name="carts",
        entities=[shop.store.get_entity("user"), item],
        source=DeltaSource(name="carts", path="carts", timestamp_field="event_timestamp"),
        schema=[Field(name="user", dtype=String), Field(name="item", dtype=Int64), Field(name="n", dtype=Float64)],
    )
    shop.store.apply([item, carts])
    (view,) = (view for view in verified_views(shop.store) if view.name == "carts")
    times = pa.array([at(0)] * 3, pa.timestamp("us", "UTC"))
    rows = pa.table({"user": ["a", "a", "b"], "item": [1, 2, 1], "n": [1.0, 2.0, 3.0]})
    write_records(
        shop.client, view.plan, "shop", rows.append_column("event_timestamp", times).append_column("known_at", times)
    )

    online = OnlineRecords(shop.store, settings)
    by_user, by_item = (online.of(subject(shop.store, key, {})) for key in ({"user": "a"}, {"item": "1"}))

    assert by_user.keys() == {"visits", "carts"} and by_item.keys() == {"carts"}
    users, items = set(by_user["carts"]), set(by_item["carts"])
    assert (len(users), len(items), len(users & items)) == (2, 2, 1)


def test_records_of_a_view_that_is_no_longer_online_go_too(larder_erase: Erase, shop: Shop):
    shop.store.apply([visits_view(online=False)])
    assert shop.client.exists(shop.key("b"))

    larder_erase("user=b", "--yes")

    assert not shop.client.exists(shop.key("b")) and shop.client.exists(shop.key("a"))


def test_records_of_every_version_of_a_view_go(
    larder_erase: Erase, shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LARDER_REDIS", settings.redis)
    versioned = "{registry_type: sql, enable_online_feature_view_versioning: true,"
    path = settings.feature_repo / "feature_store.yaml"
    path.write_text(path.read_text().replace("{registry_type: sql,", versioned))
    store = FeatureStore(str(settings.feature_repo))
    fields = [Field(name=name, dtype=dtype) for name, dtype in (("user", String), ("score", Float64), ("n", Float64))]
    store.apply([visits_view(schema=fields)])
    frame = visits(("a", 1, 1, 2.0), ("b", 1, 1, 2.0)).append_column("n", pa.array([3.0, 3.0])).to_pandas()
    store.write_to_online_store("visits", frame)
    asked = ["visits@v0:score", "visits@v1:score"]
    rows = [{"user": name} for name in ("a", "b")]

    def answers() -> list[list[float | None]]:
        found = store.get_online_features(asked, rows, full_feature_names=True).to_dict()
        return [found[f"visits@v{number}__score"] for number in (0, 1)]

    assert answers() == [[1.0, 1.0], [2.0, 2.0]]

    said = larder_erase("user=b", "--yes").output

    assert answers() == [[1.0, None], [2.0, None]]
    assert "online view visits@v1" in said
    assert "There is nothing to erase" in larder_erase("user=b", "--yes").output


@pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
def test_what_an_on_demand_view_stored_goes_and_apply_says_that_it_is_stored(
    larder_erase: Erase, shop: Shop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("LARDER_CLOCK")  # Feast dates what it computes by the machine's clock
    store = FeatureStore(config=shop.store.config)
    store.apply([stored_on_demand_view()])
    assert "'doubled' has write_to_online_store=True" in caplog.text
    store.write_to_online_store("doubled", visits(("a", 0, 0, 2.0), ("b", 0, 0, 3.0)).to_pandas())
    rows = [{"user": name} for name in ("a", "b")]

    def answers() -> list[float | None]:
        return list(store.get_online_features(["doubled:double"], rows).to_dict()["double"])

    assert answers() == [4.0, 6.0]

    larder_erase("user=b", "--yes")

    assert answers() == [4.0, None]
