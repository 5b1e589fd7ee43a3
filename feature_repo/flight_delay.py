"""Features of the flight delay use case: what is known, and since when, about a flight before it leaves.

Everything here is declared once. Windows run on Spark into gold tables; training, serving and notebooks
read the same values. Paths are relative to the lake (LARDER_LAKE). Feast loads this file under its bare
name, so it imports installed packages only.
"""

from datetime import timedelta
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, PushSource, RequestSource, StreamFeatureView
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String, UnixTimestamp
from feast.value_type import ValueType

from larder.compute import Statistic, windowed
from larder.offline import DeltaSource

# --- Entities -------------------------------------------------------------------------------------

origin = Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING, description="Airport of departure")
destination = Entity(
    name="destination", join_keys=["destination"], value_type=ValueType.STRING, description="Airport of arrival"
)
carrier = Entity(name="carrier", join_keys=["carrier"], value_type=ValueType.STRING, description="Airline, two letters")
plane = Entity(name="plane", join_keys=["tail_number"], value_type=ValueType.STRING, description="Aircraft")

# --- Sources: silver tables -----------------------------------------------------------------------

arrivals = DeltaSource(
    name="arrivals",
    path="silver/arrivals",
    timestamp_field="landed_at",
    description="One row per landed flight; its delay is known from the landing on",
)
departures = DeltaSource(
    name="departures",
    path="silver/departures",
    timestamp_field="departed_at",
    description="One row per departed flight; its delay is known from the departure on",
)
arrivals_push = PushSource(name="arrivals_push", batch_source=arrivals)
departures_push = PushSource(name="departures_push", batch_source=departures)

# --- Windowed views: the recent past of an origin, a carrier, a plane, a route --------------------

HOURS = {"1h": 1, "3h": 3, "24h": 24, "7d": 7 * 24}
WINDOWS = {name: timedelta(hours=hours) for name, hours in HOURS.items()}
FIVE_MINUTES = timedelta(minutes=5)
TTL = timedelta(days=8)

ARRIVAL_STATISTICS = [
    Statistic("arrival_delay_minutes", "count", "arrival_count", "Landed flights"),
    Statistic("arrival_delay_minutes", "mean", "arrival_delay_mean", "Mean arrival delay, minutes"),
    Statistic("is_late_arrival", "mean", "late_arrival_share", "Share of arrivals more than 15 minutes late"),
]
DEPARTURE_STATISTICS = [
    Statistic("departure_delay_minutes", "count", "departure_count", "Departed flights"),
    Statistic("departure_delay_minutes", "mean", "departure_delay_mean", "Mean departure delay, minutes"),
    Statistic("is_late_departure", "mean", "late_departure_share", "Share of departures more than 15 minutes late"),
]
LAST_ARRIVAL = [
    Statistic("arrival_delay_minutes", "last", "last_arrival_delay", "Delay of the latest arrival, minutes"),
    Statistic("landed_at", "last", "last_landed_at", "Instant of the latest landing, UTC", dtype=UnixTimestamp),
]


def _windowed_view(name: str, entities: list[Entity], of: str, statistics: list[Statistic]) -> StreamFeatureView:
    """The recent `arrivals` or `departures` (`of`) of whatever `entities` name."""
    source, timestamp_field = {
        "arrivals": (arrivals_push, "landed_at"),
        "departures": (departures_push, "departed_at"),
    }[of]
    return StreamFeatureView(
        name=f"{name}_{of}",
        entities=entities,
        ttl=TTL,
        timestamp_field=timestamp_field,
        source=source,
        description=f"Recent {of} of one {name}, on a five-minute grid",
        **windowed(statistics, WINDOWS, every=FIVE_MINUTES, prefix=name, keys=entities),
    )


origin_arrivals = _windowed_view("origin", [origin], "arrivals", ARRIVAL_STATISTICS)
carrier_arrivals = _windowed_view("carrier", [carrier], "arrivals", ARRIVAL_STATISTICS)
plane_arrivals = _windowed_view("plane", [plane], "arrivals", ARRIVAL_STATISTICS)
route_arrivals = _windowed_view("route", [origin, destination], "arrivals", ARRIVAL_STATISTICS)

origin_departures = _windowed_view("origin", [origin], "departures", DEPARTURE_STATISTICS)
carrier_departures = _windowed_view("carrier", [carrier], "departures", DEPARTURE_STATISTICS)
plane_departures = _windowed_view("plane", [plane], "departures", DEPARTURE_STATISTICS)
route_departures = _windowed_view("route", [origin, destination], "departures", DEPARTURE_STATISTICS)

plane_last_arrival = StreamFeatureView(
    name="plane_last_arrival",
    entities=[plane],
    ttl=TTL,
    timestamp_field="landed_at",
    source=arrivals_push,
    description="The latest landing of a plane",
    **windowed(LAST_ARRIVAL, {"7d": WINDOWS["7d"]}, every=FIVE_MINUTES, prefix="plane", keys=[plane]),
)

# --- Views without windows: the latest row of a silver table --------------------------------------

weather = FeatureView(
    name="weather",
    entities=[origin],
    ttl=timedelta(hours=6),
    description="Latest hourly observation at the origin; an hour's row is known at the end of that hour",
    source=DeltaSource(
        name="weather_source",
        path="silver/weather",
        timestamp_field="observed_at",
        created_timestamp_column="known_at",
        known_time_cutoff=True,
    ),
    schema=[
        Field(name="origin", dtype=String),
        Field(name="temperature_f", dtype=Float64, description="Air temperature, degrees Fahrenheit"),
        Field(name="dew_point_f", dtype=Float64, description="Dew point, degrees Fahrenheit"),
        Field(name="humidity_percent", dtype=Float64, description="Relative humidity, percent"),
        Field(name="wind_direction_degrees", dtype=Float64, description="Direction the wind comes from, degrees"),
        Field(name="wind_speed_mph", dtype=Float64, description="Wind speed, miles per hour"),
        Field(name="wind_gust_mph", dtype=Float64, description="Gust speed, miles per hour; null without gusts"),
        Field(name="precipitation_inches", dtype=Float64, description="Precipitation in that hour, inches"),
        Field(name="pressure_millibars", dtype=Float64, description="Sea level pressure, millibars"),
        Field(name="visibility_miles", dtype=Float64, description="Visibility, miles"),
    ],
)

planes = FeatureView(
    name="planes",
    entities=[plane],
    ttl=timedelta(0),
    description="The aircraft as registered; it does not change",
    source=DeltaSource(name="planes_source", path="silver/planes", timestamp_field="registered_at"),
    schema=[
        Field(name="tail_number", dtype=String),
        Field(name="built_year", dtype=Int64, description="Year of manufacture"),
        Field(name="engines", dtype=Int64, description="Number of engines"),
        Field(name="seats", dtype=Int64, description="Number of seats"),
    ],
)

airports = FeatureView(
    name="airports",
    entities=[destination],
    ttl=timedelta(0),
    description="The airport of arrival; it does not change",
    source=DeltaSource(
        name="airports_source",
        path="silver/airports",
        timestamp_field="registered_at",
        field_mapping={"airport": "destination"},
    ),
    schema=[
        Field(name="destination", dtype=String),
        Field(name="latitude_degrees", dtype=Float64, description="Latitude, degrees north"),
        Field(name="longitude_degrees", dtype=Float64, description="Longitude, degrees east"),
        Field(name="altitude_feet", dtype=Float64, description="Altitude, feet"),
    ],
)

# --- Request time: what the caller knows ----------------------------------------------------------

schedule = RequestSource(
    name="schedule",
    schema=[
        Field(name="scheduled_departure_at", dtype=UnixTimestamp, description="Scheduled departure, UTC"),
        Field(name="scheduled_arrival_at", dtype=UnixTimestamp, description="Scheduled arrival, UTC"),
        Field(name="distance_miles", dtype=Float64, description="Length of the route, miles"),
    ],
)


# Feast refuses a description on the fields of an on-demand view; the view's tags describe them instead.
FLIGHT_SCHEDULE = {
    "departure_hour": (Float64, "Local hour of departure in New York with its fraction"),
    "departure_weekday": (Int64, "Local day of the week, Monday is 0"),
    "scheduled_minutes": (Float64, "Scheduled duration, minutes"),
    "route_miles": (Float64, "Length of the route, miles"),
    "plane_hours_since_arrival": (
        Float64,
        "Hours from the plane's latest landing to the scheduled departure; null when it is unknown",
    ),
}


@on_demand_feature_view(
    sources=[schedule, plane_last_arrival],
    mode="python",
    description="Calendar and schedule of the flight itself, and how long its plane has been here",
    schema=[Field(name=name, dtype=dtype) for name, (dtype, _) in FLIGHT_SCHEDULE.items()],
    tags={name: description for name, (_, description) in FLIGHT_SCHEDULE.items()},
)
def flight_schedule(inputs: dict[str, Any]) -> dict[str, Any]:
    from zoneinfo import ZoneInfo

    departures = [at.astimezone(ZoneInfo("America/New_York")) for at in inputs["scheduled_departure_at"]]
    pairs = list(zip(inputs["scheduled_departure_at"], inputs["scheduled_arrival_at"], strict=True))
    landings = zip(inputs["scheduled_departure_at"], inputs["plane_last_landed_at_7d"], strict=True)
    return {
        "departure_hour": [at.hour + at.minute / 60 for at in departures],
        "departure_weekday": [at.weekday() for at in departures],
        "scheduled_minutes": [(arrival - departure).total_seconds() / 60 for departure, arrival in pairs],
        "route_miles": inputs["distance_miles"],
        "plane_hours_since_arrival": [
            None if landed is None else (departure - landed).total_seconds() / 3600 for departure, landed in landings
        ],
    }


# --- What the model sees --------------------------------------------------------------------------

flight_delay = FeatureService(
    name="flight_delay",
    description="All that is known about a flight one hour before its scheduled departure",
    features=[
        flight_schedule,
        origin_arrivals,
        origin_departures,
        carrier_arrivals,
        carrier_departures,
        plane_arrivals,
        plane_departures,
        route_arrivals,
        route_departures,
        plane_last_arrival[["plane_last_arrival_delay_7d"]],
        weather,
        planes,
        airports,
    ],
)
