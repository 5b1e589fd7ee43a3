"""A shop's use case: will an order be returned? Small enough to check in the head, served by the real thing."""

import http.client
import json
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dill
import numpy as np
import pyarrow as pa
import pytest
import uvicorn

from larder.contracts.bundle import Bounds, Manifest, set_champion, write_bundle
from larder.contracts.plan import Column, Feature, FeaturePlan, OnDemandPlan, ViewPlan
from larder.contracts.settings import Settings
from larder.online.position import Position, write_position
from larder.online.server import embedded
from larder.online.server.connection import connect
from larder.online.writing.writer import write_records
from serving.app import create_app
from serving.http.server import listening_socket, server_config
from serving.models.model import Model, load_model
from serving.models.predictions import Prediction

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
NUMBERS = ("sales_mean_7d", "sales_count_7d", "age_years", "order_hour", "amount")
STRINGS = ("region",)
SERVING_FILE = """
from larder.contracts.answer import Answer

answer = Answer(
    label_table="returns",
    probability="return_probability",
    decision="is_return_expected",
    essential=("shop_sales",),
    example={"shop": "north", "customer": 7, "amount": 20.0, "ordered_at": "2024-03-01T12:00:00Z"},
)
"""

FEATURE_STORE = """
project: shop
online_store: {type: larder.online.RedisOnlineStore}
"""


def _basket(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"order_hour": [at.hour for at in inputs["ordered_at"]], "amount": inputs["amount"]}


_basket.__module__ = "__main__"  # else dill stores a reference to this file instead of the function

PLAN = FeaturePlan(
    project="shop",
    service="returns",
    views=(
        ViewPlan(
            name="shop_sales",
            join_keys=(Feature("shop", "string"),),
            request_keys=("shop",),
            features=(
                Feature("sales_mean_7d", "float64"),
                Feature("sales_count_7d", "int64"),
                Feature("region", "string"),
            ),
            ttl_seconds=None,
        ),
        ViewPlan(
            name="customers",
            join_keys=(Feature("customer", "int64"),),
            request_keys=("customer",),
            features=(Feature("age_years", "float64"),),
            ttl_seconds=3600.0,
        ),
    ),
    on_demand=(
        OnDemandPlan(
            name="basket",
            function=dill.dumps(_basket, recurse=True),
            inputs=(("", "amount"), ("", "ordered_at")),
            outputs=(Feature("order_hour", "int64"), Feature("amount", "float64")),
        ),
    ),
    request_fields=(Feature("amount", "float64"), Feature("ordered_at", "unix_timestamp")),
    columns=(
        Column("sales_mean_7d", "shop_sales", "sales_mean_7d", "float64"),
        Column("sales_count_7d", "shop_sales", "sales_count_7d", "int64"),
        Column("region", "shop_sales", "region", "string"),
        Column("age_years", "customers", "age_years", "float64"),
        Column("order_hour", "basket", "order_hour", "int64"),
        Column("amount", "basket", "amount", "float64"),
    ),
)

KNOWN = {"shop": "north", "customer": 7, "amount": 20.0, "ordered_at": "2024-03-01T12:00:00Z"}
"""A request whose features are all there and all fresh."""


AT = datetime(2024, 3, 1, 12, tzinfo=UTC)
REQUEST = {"shop": "north", "customer": None, "amount": 20.0, "ordered_at": AT}
VALUES = [30.0, 40, "east", None, 12, 20.0]
PREDICTION = Prediction(0.25, False, "high", ["age_years"], [], ["amount"])
"""A logged row: what was asked, what was read, and what the model said."""


@dataclass(frozen=True)
class Answered:
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def prediction(self) -> dict[str, Any]:
        assert self.status == 200, self.text
        return self.json["predictions"][0]


class Client:
    """A caller with one kept-alive connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def get(self, path: str) -> Answered:
        return self._call("GET", path, None, {})

    def ask(self, *rows: dict[str, Any], explain: bool = False) -> Answered:
        return self.post(json.dumps({"rows": rows}).encode(), path=f"/predict?explain={str(explain).lower()}")

    def post(self, body: bytes, *, path: str = "/predict", content_type: str = "application/json") -> Answered:
        return self._call("POST", path, body, {"Content-Type": content_type})

    def close(self) -> None:
        self._connection.close()

    def _call(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answered:
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        return Answered(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode())


@pytest.fixture
def plan() -> FeaturePlan:
    return PLAN


@pytest.fixture
def known() -> dict[str, Any]:
    return dict(KNOWN)


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        model="returns",
        version="1",
        run_id="run",
        label="is_returned",
        runtime="onnx",
        numbers=NUMBERS,
        strings=STRINGS,
        bounds={"age_years": Bounds(18.0, 90.0), "amount": Bounds(0.0, 500.0)},
        threshold=0.5,
        parity=0.0,
        created_at="2024-02-01T00:00:00Z",
    )


@pytest.fixture(scope="session")
def pipeline() -> Any:
    """Late orders of large amounts are returned; trained on 400 synthetic rows."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    random = np.random.default_rng(1)
    numbers = random.uniform(0, 100, (400, len(NUMBERS))).astype(np.float32)
    regions = random.choice(["east", "west"], (400, 1)).astype(object)
    labels = numbers[:, 3] + numbers[:, 4] + 20 * (regions[:, 0] == "east") > 100
    encode = ColumnTransformer(
        [("regions", OneHotEncoder(handle_unknown="ignore", sparse_output=False), [len(NUMBERS)])],
        remainder="passthrough",
    )
    steps = encode, SimpleImputer(), StandardScaler(), LogisticRegression()
    return make_pipeline(*steps).fit(_frame(numbers, regions), labels)


@pytest.fixture(scope="session")
def expected(pipeline: Any) -> Callable[[list[float], str], float]:
    """scikit-learn's own probability for numbers and a region."""
    return lambda numbers, region: float(
        pipeline.predict_proba(_frame(np.array([numbers], np.float32), np.array([[region]], object)))[0, 1]
    )


@pytest.fixture(scope="session")
def graph(pipeline: Any) -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    inputs = [("numbers", FloatTensorType([None, len(NUMBERS)])), ("strings", StringTensorType([None, 1]))]
    with warnings.catch_warnings():
        # skl2onnx hands onnx a bool where it will want an int one day.
        warnings.filterwarnings("ignore", "Field onnx.AttributeProto", DeprecationWarning)
        return bytes(to_onnx(pipeline, initial_types=inputs, options={"zipmap": False}).SerializeToString())


@pytest.fixture
def model(tmp_path: Path, manifest: Manifest, plan: FeaturePlan, graph: bytes) -> Model:
    return load_model(write_bundle(tmp_path / "bundles", manifest, plan, graph))


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A project in a folder with a space in its name; its Redis, if it was started, is stopped afterwards."""
    home = tmp_path / "my shop"
    for file, text in {"feature_repo/returns.py": "", "serving/returns.py": SERVING_FILE}.items():
        (home / file).parent.mkdir(parents=True)
        (home / file).write_text(text)
    (home / "feature_repo" / "feature_store.yaml").write_text(FEATURE_STORE)
    state = home / ".larder"
    own = Settings(home=home, state=state, lake=str(state / "lake"), raw=state / "raw", port=1, replay_at=NOW)
    yield own
    embedded.stop(own)


@pytest.fixture
def freeze(settings: Settings, manifest: Manifest, graph: bytes) -> Callable[..., Path]:
    """Make the bundle of a version of the model."""

    def freeze(version: str, *, plan: FeaturePlan = PLAN, **changes: Any) -> Path:
        return write_bundle(settings.bundles, _replaced(manifest, version=version, **changes), plan, graph)

    return freeze


@pytest.fixture
def promote(settings: Settings, manifest: Manifest, freeze: Callable[..., Path]) -> Callable[..., Path]:
    """Freeze a version of the model and make it the champion."""

    def promote(version: str, **changes: Any) -> Path:
        bundle = freeze(version, **changes)
        set_champion(settings.bundles, manifest.model, version)
        return bundle

    return promote


@pytest.fixture
def materialize(settings: Settings) -> Callable[[], None]:
    """Start Redis and fill it: shop north, customer 7 (fresh) and customer 8 (two hours old, so stale)."""

    def materialize() -> None:
        client = connect(embedded.start(settings), timeout_seconds=5)
        sales, customers = PLAN.views
        write_records(
            client,
            sales,
            PLAN.project,
            _rows(shop=["north"], sales_mean_7d=[30.0], sales_count_7d=[40], region=["east"], age=[timedelta(0)]),
        )
        write_records(
            client,
            customers,
            PLAN.project,
            _rows(customer=[7, 8], age_years=[50.0, 60.0], age=[timedelta(0), timedelta(hours=2)]),
        )
        for view in PLAN.views:
            write_position(client, PLAN.project, view.name, Position("table", 0, NOW, "", view.fingerprint.hex()))
        client.close()

    return materialize


@pytest.fixture
def server(settings: Settings, promote: Callable[..., Path], materialize: Callable[[], None]) -> Iterator[Client]:
    """The whole application behind uvicorn, version 1 serving."""
    materialize()
    promote("1")
    with serving(settings) as client:
        yield client


@contextmanager
def serving(settings: Settings) -> Iterator[Client]:
    """A caller of the application, which answers with the champion for as long."""
    with listening_socket("127.0.0.1", 0) as listener:
        running = uvicorn.Server(server_config(create_app(settings)))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        client = Client(listener.getsockname()[1])
        yield client
        client.close()
        running.should_exit = True
        thread.join()


def _replaced(manifest: Manifest, **changes: Any) -> Manifest:
    import msgspec

    return msgspec.structs.replace(manifest, **changes)


def _rows(*, age: list[timedelta], **columns: Any) -> pa.Table:
    at = pa.array([NOW - item for item in age], pa.timestamp("us", "UTC"))
    return pa.table({**columns, "event_timestamp": at, "known_at": at})


def _frame(numbers: Any, regions: Any) -> Any:
    import pandas as pd

    columns = [pd.DataFrame(numbers, columns=list(NUMBERS)), pd.DataFrame(regions, columns=list(STRINGS))]
    return pd.concat(columns, axis=1)
