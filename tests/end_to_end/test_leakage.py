"""Windows keyed on the schedule, over the real flights: what somebody declares who forgets when a delay is known."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.project import CHECKOUT, Project, project
from tests.end_to_end.test_real_flights import CLOCK, WITHOUT_GATES, write_five_weeks

BY_SCHEDULE = """

arrivals_by_schedule = DeltaSource(
    name="arrivals_by_schedule",
    path="silver/arrivals",
    timestamp_field="scheduled_departure_at",
    created_timestamp_column="landed_at",
)
departures_by_schedule = DeltaSource(
    name="departures_by_schedule",
    path="silver/departures",
    timestamp_field="scheduled_departure_at",
    created_timestamp_column="departed_at",
)
_pushed = {
    source.name: PushSource(name=f"{source.name}_push", batch_source=source)
    for source in (arrivals_by_schedule, departures_by_schedule)
}


def _by_schedule(name: str, entities: list[Entity], of: str, statistics: list[Statistic]) -> StreamFeatureView:
    return StreamFeatureView(
        name=f"{name}_{of}",
        entities=entities,
        ttl=TTL,
        timestamp_field="scheduled_departure_at",
        source=_pushed[of],
        **windowed(statistics, WINDOWS, every=FIVE_MINUTES, prefix=name, keys=entities),
    )


_keys = {"origin": [origin], "carrier": [carrier], "plane": [plane], "route": [origin, destination]}
_views = [
    _by_schedule(name, entities, of, statistics)
    for name, entities in _keys.items()
    for of, statistics in (
        ("arrivals_by_schedule", ARRIVAL_STATISTICS),
        ("departures_by_schedule", DEPARTURE_STATISTICS),
    )
]
globals().update({view.name: view for view in _views})
flight_delay_by_schedule = FeatureService(
    name="flight_delay_by_schedule", features=[flight_schedule, *_views, weather, planes, airports]
)
"""
"""What follows the use case's own definitions in one file with them."""


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project(CHECKOUT, tmp_path_factory.mktemp("leakage") / "five weeks", clock=CLOCK) as made:
        (made.home / "training" / "flight_delay.py").write_text(
            WITHOUT_GATES.format(year=str(CHECKOUT / "training" / "flight_delay.py"))
        )
        with (made.home / "feature_repo" / "flight_delay.py").open("a") as definitions:
            definitions.write(BY_SCHEDULE)
        write_five_weeks(made.settings.raw)
        made.larder("ingest")
        made.larder("features")
        yield made


def report(flights: Project) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((flights.settings.reports / "leakage.json").read_text())
    return content


def test_windows_keyed_on_the_schedule_are_flagged(flights: Project):
    said = flights.larder("leakage", "flight_delay_by_schedule", "--rows", "5000", "--model", code=2)

    found = report(flights)
    verdicts = {item["feature"]: item["verdict"] for item in found["features"]}
    assert verdicts["origin_arrival_delay_mean_1h"] == verdicts["carrier_late_arrival_share_3h"] == "leak"
    assert verdicts["temperature_f"] == "clean"
    assert "look better in training than 'flight_delay_by_schedule' can serve" in said
    assert found["model"]["auc_looks_like"] > found["model"]["auc_serves_as"] + 0.02


def test_the_use_case_as_it_is_declared_is_not(flights: Project):
    known = [f"--known={source}" for source in ("arrivals=landed_at", "departures=departed_at")]

    flights.larder("leakage", "--rows", "5000", "--model", *known)

    found = report(flights)
    verdicts = {item["feature"]: item["verdict"] for item in found["features"]}
    assert verdicts["origin_departure_delay_mean_3h"] == verdicts["plane_hours_since_arrival"] == "clean"
    assert set(verdicts.values()) == {"clean", "cannot tell"}
    assert found["model"]["auc_looks_like"] == found["model"]["auc_serves_as"]
