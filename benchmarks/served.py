"""A real server to measure: `larder serve` on a model of 50 numeric inputs from 5 views in a private Redis."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

from larder.contracts.bundle import Manifest, set_champion, write_bundle
from larder.contracts.plan import Column, Feature, FeaturePlan, ViewPlan
from larder.contracts.settings import Settings
from larder.online.position import Position, write_position
from larder.online.server import embedded
from larder.online.server.connection import connect
from larder.online.writing.writer import write_records

NAME = "benchmark"
VIEWS, FEATURES, ENTITIES = 5, 10, 1_000
SERVING_FILE = 'from larder.contracts.answer import Answer\nanswer = Answer(label_table="none")\n'


def project(home: Path) -> Settings:
    """A project with a champion of 50 inputs, and Redis filled with what it reads."""
    for stage, text in (("feature_repo", ""), ("serving", SERVING_FILE)):
        (home / stage).mkdir()
        (home / stage / f"{NAME}.py").write_text(text)
    state = home / "state"
    settings = Settings(home=home, state=state, lake=str(state / "lake"), raw=state / "raw")
    plan = _plan()
    graph = _graph(len(plan.columns))
    for version in ("1", "2"):
        write_bundle(settings.bundles, _manifest(plan, version), plan, graph)
    set_champion(settings.bundles, NAME, "1")
    client = connect(embedded.start(settings), timeout_seconds=10)
    now = datetime.now(UTC)
    generator = np.random.default_rng(7)
    for view in plan.views:
        columns = {feature.name: generator.normal(size=ENTITIES) for feature in view.features}
        at = pa.array([now] * ENTITIES, pa.timestamp("us", "UTC"))
        rows = pa.table({"entity": np.arange(ENTITIES), **columns, "event_timestamp": at, "known_at": at})
        write_records(client, view, plan.project, rows)
        write_position(client, plan.project, view.name, Position("benchmark", 0, now))
    client.close()
    return settings


def _plan() -> FeaturePlan:
    views = tuple(
        ViewPlan(
            name=f"view_{v}",
            join_keys=(Feature("entity", "int64"),),
            request_keys=("entity",),
            features=tuple(Feature(f"feature_{v}_{f}", "float64") for f in range(FEATURES)),
            ttl_seconds=None,
        )
        for v in range(VIEWS)
    )
    columns = tuple(Column(item.name, view.name, item.name, item.dtype) for view in views for item in view.features)
    return FeaturePlan(NAME, NAME, views, (), (), columns)


def _manifest(plan: FeaturePlan, version: str) -> Manifest:
    return Manifest(
        model=NAME,
        version=version,
        run_id="benchmark",
        label="label",
        runtime="onnx",
        numbers=tuple(column.name for column in plan.columns),
        strings=(),
        bounds={},
        threshold=0.5,
        parity=0.0,
        created_at=datetime.now(UTC).isoformat(),
    )


def _graph(inputs: int) -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows = np.random.default_rng(7).normal(size=(5_000, inputs)).astype(np.float32)
    model = HistGradientBoostingClassifier(max_iter=100).fit(rows, rows[:, :5].sum(axis=1) > 0)
    graph = to_onnx(model, initial_types=[("numbers", FloatTensorType([None, inputs]))], options={"zipmap": False})
    return bytes(graph.SerializeToString())


@contextmanager
def serving(settings: Settings) -> Iterator[tuple[psutil.Process, int, float, float]]:
    """The running server: process, port, and CPU and wall seconds until it was ready."""
    environment = os.environ | {"LARDER_HOME": str(settings.home), "LARDER_STATE": str(settings.state)}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        started = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-m", "larder", "serve", "--fd", str(listener.fileno())],
            env=environment,
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,
        )
    try:
        process = psutil.Process(child.pid)
        got(port, "/ready")
        yield process, port, cpu_seconds(process), time.perf_counter() - started
    finally:
        child.terminate()
        child.wait()


def got(port: int, path: str) -> bytes:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        content = response.read()
    if response.status != http.client.OK:
        raise SystemExit(f"{path} is answered with {response.status}: {content.decode()}")
    return content


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
