"""A version that only listens, next to the champion, over real HTTP, Redis and Delta."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from larder.contracts.answer import Answer
from larder.contracts.bundle import SHADOW, Manifest, set_shadow, write_bundle
from larder.contracts.errors import OnlineStoreError
from larder.contracts.plan import Feature, FeaturePlan
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.online.reading.compiled import FeatureRows
from larder.online.reading.reader import FeatureReader
from serving.log.logger import PredictionLogger
from serving.log.prediction_log import LoggedAnswer
from serving.metrics import Metrics
from serving.models.answers import live_answer, reads_alike, shadow_answer
from serving.models.champion import Version, VersionLoader
from serving.models.shadow import CurrentShadow, ShadowListener
from serving.online_store import OnlineStore, online_store

SECONDS_TO_NOTICE = 10.0
NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
RULES = Answer("returns", essential=("shop_sales",))
ROW = {"shop": "north", "customer": 7, "amount": 20.0, "ordered_at": NOW}


@dataclass(frozen=True)
class Loaded:
    """A champion, one answer of it, and a shadow that may hear the answer."""

    store: OnlineStore
    champion: Version
    shadow: Version
    features: FeatureRows
    live: LoggedAnswer


@pytest.fixture
def loaded(
    settings: Settings, manifest: Manifest, graph: bytes, plan: FeaturePlan, materialize: Callable[[], None]
) -> Iterator[Loaded]:
    materialize()
    store = online_store(settings)
    for version in ("1", "2"):
        write_bundle(settings.bundles, msgspec.structs.replace(manifest, version=version), plan, graph)
    loader = VersionLoader(settings.bundles, "returns", RULES, store)
    champion = loader.load("1")
    features = store.read(champion.reader, [ROW])
    live = live_answer(champion.model, RULES, [ROW], features, at=NOW, id="a")
    yield Loaded(store, champion, loader.load("2"), features, live)
    store.close()


@pytest.fixture(autouse=True)
def _logged_promptly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.app.PredictionLogger", partial(PredictionLogger, seconds=0.05))


@pytest.fixture
def listen(settings: Settings, manifest: Manifest, graph: bytes, plan: FeaturePlan) -> Callable[..., Path]:
    """Freeze a version that decides from 0.1 on, and let it listen."""

    def listen(version: str, *, plan: FeaturePlan = plan, graph: bytes = graph, **changes: Any) -> Path:
        changed = msgspec.structs.replace(manifest, **{"version": version, "threshold": 0.1} | changes)
        bundle = write_bundle(settings.bundles, changed, plan, graph)
        set_shadow(settings.bundles, manifest.model, version)
        return bundle

    return listen


def _eventually(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS_TO_NOTICE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    return condition()


def _listens(server: Any, version: str | None) -> bool:
    return bool(_eventually(lambda: server.get("/model").json["shadow"] == {"version": version, "refused": None}))


def _rows(settings: Settings, count: int) -> list[dict[str, Any]]:
    """All rows of the log once there are `count`, live before shadow."""

    def rows() -> list[dict[str, Any]]:
        try:
            table = DeltaTable(Lake(settings.lake).predictions("returns")).to_pyarrow_table()
        except TableNotFoundError:
            return []
        return sorted(table.to_pylist(), key=lambda row: (row["traffic"], row["row"])) if len(table) == count else []

    found = _eventually(rows)
    assert found, f"never {count} rows"
    return list(found)


def test_callers_see_the_champion_and_the_log_holds_both_under_one_id(
    server: Any, settings: Settings, listen: Callable[..., Path], known: Any
):
    listen("2", bounds={})
    assert _listens(server, "2")

    answered = server.ask(known, known | {"amount": 1000.0})

    assert answered.json["model"]["version"] == "1"
    rows = _rows(settings, 4)
    assert [(row["traffic"], row["version"], row["row"]) for row in rows] == [
        ("live", "1", 0),
        ("live", "1", 1),
        ("shadow", "2", 0),
        ("shadow", "2", 1),
    ]
    assert {row["answer_id"] for row in rows} == {answered.json["id"]}
    for live, shadow in zip(rows[:2], rows[2:], strict=True):
        same = ("at", "request", "features", "probability", "missing", "stale")
        assert [shadow[name] for name in same] == [live[name] for name in same]
    assert [row["out_of_bounds"] for row in rows] == [[], ["amount"], [], []]
    assert 'larder_shadow{model="returns",version="2"} 1.0' in server.get("/metrics").text


def test_decision_and_confidence_are_the_shadows_own(
    server: Any, settings: Settings, listen: Callable[..., Path], known: Any
):
    listen("2", threshold=0.0, bounds={})
    assert _listens(server, "2")

    prediction = server.ask(known | {"amount": 1e-3, "ordered_at": "2024-03-01T00:00:00Z"}).prediction

    live, shadow = _rows(settings, 2)
    assert prediction["is_return_expected"] is live["decision"] is False
    assert shadow["decision"] is True


def test_a_shadow_appears_is_replaced_and_disappears_without_a_restart(
    server: Any, settings: Settings, listen: Callable[..., Path], known: Any
):
    assert server.get("/model").json["shadow"] == {"version": None, "refused": None}
    for version in ("2", "3"):
        listen(version)
        assert _listens(server, version)
        metrics = server.get("/metrics").text
    set_shadow(settings.bundles, "returns", None)
    assert _listens(server, None)

    assert 'larder_shadow{model="returns",version="2"} 0.0' in metrics
    assert 'larder_shadow{model="returns",version="3"} 1.0' in metrics
    assert 'larder_shadow{model="returns",version="3"} 0.0' in server.get("/metrics").text
    server.ask(known)
    [row] = _rows(settings, 1)
    assert row["traffic"] == "live"


def test_a_shadow_that_is_promoted_listens_no_more(
    server: Any, promote: Callable[..., Path], listen: Callable[..., Path]
):
    listen("2")
    assert _listens(server, "2")

    promote("2", threshold=0.1)

    assert _listens(server, None)
    assert server.get("/model").json["version"] == "2"


def test_a_damaged_shadow_changes_nothing_for_callers_and_is_tried_again_when_named_anew(
    server: Any, settings: Settings, listen: Callable[..., Path], known: Any
):
    before = server.ask(known).json["predictions"]
    bundle = listen("2")
    set_shadow(settings.bundles, "returns", None)
    whole = (bundle / "model.onnx").read_bytes()
    (bundle / "model.onnx").write_bytes(whole[:-1])
    set_shadow(settings.bundles, "returns", "2")

    assert _eventually(lambda: "model.onnx" in (server.get("/ready").json["shadow"]["refused"] or ""))
    ready = server.get("/ready")
    assert (ready.status, ready.json["refused"], ready.json["shadow"]["version"]) == (200, None, None)
    assert "larder_shadow_refused 1.0" in server.get("/metrics").text
    assert server.ask(known).json["predictions"] == before

    (bundle / "model.onnx").write_bytes(whole)
    set_shadow(settings.bundles, "returns", None)
    assert _listens(server, None)
    set_shadow(settings.bundles, "returns", "2")
    assert _listens(server, "2")


@pytest.mark.parametrize("pointer", ["../../evil/1", "", "99", b"\xff"])
def test_a_pointer_to_no_version_is_reported_and_promotions_are_still_noticed(
    server: Any, settings: Settings, promote: Callable[..., Path], known: Any, pointer: str | bytes
):
    named = pointer if isinstance(pointer, bytes) else pointer.encode()
    (settings.bundles / "returns" / SHADOW).write_bytes(named)
    assert _eventually(lambda: server.get("/ready").json["shadow"]["refused"])

    promote("2")

    assert _eventually(lambda: server.ask(known).json["model"]["version"] == "2")


def test_a_shadow_that_asks_for_what_callers_do_not_send_is_refused(
    server: Any, listen: Callable[..., Path], plan: FeaturePlan
):
    more = (*plan.request_fields, Feature("discount", "float64"))
    listen("2", plan=msgspec.structs.replace(plan, request_fields=more))

    assert _eventually(lambda: "discount (float64)" in (server.get("/model").json["shadow"]["refused"] or ""))


def test_a_shadow_with_another_plan_reads_its_own_features(
    server: Any, settings: Settings, listen: Callable[..., Path], plan: FeaturePlan, known: Any
):
    shops, customers = plan.views
    patient = msgspec.structs.replace(customers, ttl_seconds=None)
    turned = msgspec.structs.replace(plan, views=(shops, patient), columns=plan.columns[::-1])
    listen("2", plan=turned)
    assert _listens(server, "2")

    server.ask(known | {"customer": 8})

    live, shadow = _rows(settings, 2)
    assert (live["stale"], live["features"]["age_years"]) == (["age_years"], None)
    assert (shadow["stale"], shadow["features"]["age_years"]) == ([], 60.0)
    assert shadow["request"] == live["request"]


def test_plans_read_alike_when_only_the_services_name_differs(plan: FeaturePlan):
    assert reads_alike(plan, msgspec.structs.replace(plan, service="returns_v2"))
    assert not reads_alike(plan, msgspec.structs.replace(plan, columns=plan.columns[::-1]))


def test_a_read_that_fails_for_the_shadow_refuses_no_caller(loaded: Loaded, plan: FeaturePlan):
    gone = FeatureReader(plan, "redis://127.0.0.1:1")

    with pytest.raises(OnlineStoreError):
        loaded.store.read_beside(gone, [ROW])

    assert loaded.store.read(loaded.champion.reader, [ROW]).values


def test_a_shadow_is_loaded_once_and_a_refused_one_not_again_until_its_pointer_changes(
    settings: Settings, loaded: Loaded, listen: Callable[..., Path]
):
    loader = VersionLoader(settings.bundles, "returns", RULES, loaded.store)
    current = CurrentShadow(loader)
    whole = (listen("3") / "model.onnx").read_bytes()
    current.refresh(loaded.champion)
    first = current.version
    current.refresh(loaded.champion)
    assert first is not None
    assert current.version is first

    damaged = listen("4") / "model.onnx"
    damaged.write_bytes(whole[:-1])
    current.refresh(loaded.champion)
    damaged.write_bytes(whole)
    current.refresh(loaded.champion)

    assert (current.version, "model.onnx" in (current.refusal or "")) == (None, True)


def test_the_shadows_rows_are_those_of_the_pure_function(loaded: Loaded):
    written, metrics = _heard(loaded, loaded.shadow, answers=1)

    [answer] = written
    assert answer == shadow_answer(loaded.shadow.model, RULES, loaded.live, loaded.features)
    assert (answer.id, answer.at, answer.traffic) == ("a", NOW, "shadow")
    assert answer.request_plan is loaded.champion.model.plan
    assert "larder_shadow_rows_total 1.0" in metrics
    assert "larder_shadow_seconds_count 1.0" in metrics


def test_what_finds_the_queue_full_is_dropped_and_counted(loaded: Loaded):
    is_blocked = threading.Event()

    def slow(numbers: Any, strings: Any) -> Any:
        is_blocked.wait()
        return loaded.shadow.model.scorer(numbers, strings)

    written, metrics = _heard(loaded, _scoring(loaded.shadow, slow), answers=5, max_waiting=2, then=is_blocked.set)

    assert len(written) == 2
    assert "larder_shadow_dropped_total 3.0" in metrics


def test_a_scorer_that_fails_is_counted_and_the_next_answer_is_heard(loaded: Loaded):
    calls: list[int] = []

    def fails_once(numbers: Any, strings: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("no such leaf")
        return loaded.shadow.model.scorer(numbers, strings)

    written, metrics = _heard(loaded, _scoring(loaded.shadow, fails_once), answers=2, max_waiting=10)

    assert len(written) == 1
    assert 'larder_shadow_failed_total{error="ValueError"} 1.0' in metrics


def _scoring(shadow: Version, scorer: Any) -> Version:
    return replace(shadow, model=replace(shadow.model, scorer=scorer))


def _heard(
    loaded: Loaded, shadow: Version, *, answers: int, max_waiting: int = 10, then: Callable[[], None] = lambda: None
) -> tuple[list[LoggedAnswer], str]:
    """What a listener logs of so many equal answers, and its metrics. `then` is called once all were told to it."""
    written: list[LoggedAnswer] = []
    metrics = Metrics()
    listener = ShadowListener(RULES, loaded.store, written.append, metrics, max_waiting=max_waiting)
    listener.start()
    for _ in range(answers):
        listener.hear(shadow, loaded.live, loaded.features)
    then()
    listener.close()
    return written, metrics.text().decode()
