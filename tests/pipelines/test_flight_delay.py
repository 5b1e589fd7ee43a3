"""What the raw files mean: instants, nights of changing clocks, cancelled and diverted flights, weather."""

from datetime import UTC, datetime

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines.flight_delay import ingestion, next_local_time
from tests.pipelines.conftest import Project, new_project

AIRPORTS = (
    "faa,name,lat,lon,alt,tz,dst,tzone",
    "IAH,Houston,29.98,-95.34,97,-6,A,America/Chicago",
    "LAX,Los Angeles,33.94,-118.41,126,-8,A,America/Los_Angeles",
    "JFK,Kennedy,40.64,-73.78,13,-5,A,America/New_York",
    "EEN,Dillant,42.9,-72.27,149,-5,A,NA",
)
FLIGHTS = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,"
    "tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
)
WEATHER = "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib,time_hour"


def utc(day: str, time: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def airline(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Four flights that are what they seem, four that are not, three hours of weather; ingested."""
    airline = new_project(ingestion, spark, tmp_path_factory.mktemp("airline"))
    airline.put("airports.csv", *AIRPORTS, "SJU,Another,18,-66,10,-4,N,America/Puerto_Rico")
    airline.put(
        "flights_1.csv",
        FLIGHTS,
        "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z",
        "2013,7,1,2400,2359,1,420,404,16,B6,707,N1,JFK,SJU,200,1598,23,59,2013-07-02T03:00:00Z",
        "2013,1,2,NA,600,NA,NA,901,NA,AA,11,NA,JFK,LAX,NA,2475,6,0,2013-01-02T11:00:00Z",
        "2013,1,3,605,600,5,1400,901,NA,AA,11,N2,JFK,LAX,NA,2475,6,0,2013-01-03T11:00:00Z",
    )
    airline.put(
        "flights_2.csv",
        FLIGHTS,
        "2013,1,1,517,515,2,830,819,11,UA,1,N1,EWR,IAH,227,1400,5,15,2013-01-01T09:00:00Z",
        "2013,1,1,517,515,2,830,860,11,UA,2,N1,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z",
        "2013,1,1,517,515,2,830,819,11,UA,3,N1,EWR,XXX,227,1400,5,15,2013-01-01T10:00:00Z",
        "2013,1,1,517,515,2,830,819,11,UA,4,N1,EWR,EEN,227,1400,5,15,2013-01-01T10:00:00Z",
    )
    airline.put(
        "weather.csv",
        WEATHER,
        "EWR,2013,11,3,1,51.98,39.02,61.15,310,6.9,NA,0,1009.8,10,2013-11-03T05:00:00Z",
        "EWR,2013,11,3,1,50,39.02,65.8,290,5.75,NA,0,1010.5,10,2013-11-03T06:00:00Z",
        "EWR,2013,2,12,3,39.02,26.96,61.63,260,1048.36058,NA,0,1008.3,10,2013-02-12T08:00:00Z",
    )
    airline.ingest()
    return airline


def test_a_departure_is_known_when_it_happens_and_an_arrival_at_the_landing(airline: Project):
    assert airline.rows(
        "silver/arrivals", "flight_number", "landed_at", "arrival_delay_minutes", "is_late_arrival"
    ) == [
        (707, utc("2013-07-02", "08:20"), 16.0, 1.0),
        (1545, utc("2013-01-01", "14:30"), 11.0, 0.0),
    ]
    # Flights 3 and 4 left, wherever they were bound for.
    assert airline.rows("silver/departures", "flight_number", "departed_at", "is_late_departure") == [
        (3, utc("2013-01-01", "10:17"), 0.0),
        (4, utc("2013-01-01", "10:17"), 0.0),
        (11, utc("2013-01-03", "11:05"), 0.0),
        (707, utc("2013-07-02", "04:00"), 0.0),
        (1545, utc("2013-01-01", "10:17"), 0.0),
    ]


def test_a_label_is_known_at_the_landing_and_absent_when_the_flight_was_cancelled_or_diverted(airline: Project):
    labels = ("flight_number", "event_timestamp", "is_late", "known_at", "tail_number")
    assert airline.rows("labels/late_arrivals", *labels) == [
        (11, utc("2013-01-02", "10:00"), None, None, None),
        (11, utc("2013-01-03", "10:00"), None, None, "N2"),
        (707, utc("2013-07-02", "02:59"), True, utc("2013-07-02", "08:20"), "N1"),
        (1545, utc("2013-01-01", "09:15"), False, utc("2013-01-01", "14:30"), "N14228"),
    ]
    fates = ("flight_number", "scheduled_departure_at", "is_cancelled", "is_diverted")
    assert [row[2:] for row in airline.rows("silver/flights", *fates)] == [
        (True, False), (False, True), (False, False), (False, False)
    ]  # fmt: skip


def test_a_row_whose_hour_is_another_in_new_york_or_whose_destination_has_no_zone_is_refused(airline: Project):
    assert airline.quarantined("flights") == [
        ("flights_2.csv", 1, "time_hour", "2013-01-01T09:00:00Z"),
        ("flights_2.csv", 2, "sched_arr_time", "860"),
        ("flights_2.csv", 3, "scheduled_arrival_at", None),
        ("flights_2.csv", 4, "scheduled_arrival_at", None),
    ]


def test_an_hour_of_weather_is_known_at_its_end_also_in_the_night_that_has_an_hour_twice(airline: Project):
    assert airline.rows("silver/weather", "origin", "observed_at", "known_at", "temperature_f", "wind_gust_mph") == [
        ("EWR", utc("2013-11-03", "05:00"), utc("2013-11-03", "06:00"), 51.98, None),
        ("EWR", utc("2013-11-03", "06:00"), utc("2013-11-03", "07:00"), 50.0, None),
    ]
    assert airline.quarantined("weather") == [("weather.csv", 3, "wind_speed", "1048.36058")]


def test_destinations_that_the_file_lacks_are_supplied_and_yield_to_it(airline: Project):
    rows = {row[0]: row[1:] for row in airline.rows("silver/airports", "airport", "altitude_feet", "registered_at")}
    assert set(rows) == {"IAH", "LAX", "JFK", "EEN", "BQN", "PSE", "SJU", "STT"}
    assert rows["SJU"] == (10.0, utc("2013-01-01", "00:00"))
    assert rows["STT"] == (23.0, utc("2013-01-01", "00:00"))


def test_an_arrival_is_the_first_instant_at_which_clocks_there_show_its_time(spark: SparkSession):
    cases = (
        (830, "2013-01-01T10:00Z", "America/Chicago", "2013-01-01T14:30Z"),
        (400, "2013-01-01T10:00Z", "America/Chicago", "2013-01-02T10:00Z"),  # never the instant itself
        (2400, "2013-01-02T03:00Z", "America/New_York", "2013-01-02T05:00Z"),
        (5, "2013-01-02T04:59Z", "America/New_York", "2013-01-02T05:05Z"),
        # Clocks go forward at 2:00 on 10 March: the night is an hour shorter, 2:30 is skipped.
        (600, "2013-03-10T04:00Z", "America/New_York", "2013-03-10T10:00Z"),
        (230, "2013-03-10T06:00Z", "America/New_York", "2013-03-10T07:30Z"),
        # Clocks go back at 2:00 on 3 November: 1:30 comes at 5:30 and at 6:30 UTC.
        (130, "2013-11-03T05:00Z", "America/New_York", "2013-11-03T05:30Z"),
        (130, "2013-11-03T05:45Z", "America/New_York", "2013-11-03T06:30Z"),
        (600, "2013-11-03T03:00Z", "America/New_York", "2013-11-03T11:00Z"),
        (600, "2013-11-03T03:00Z", "America/Phoenix", "2013-11-03T13:00Z"),
    )
    given = [(hhmm, datetime.fromisoformat(after), zone) for hhmm, after, zone, _ in cases]
    rows = spark.createDataFrame(given, "hhmm long, after timestamp, zone string")
    at = next_local_time(F.col("hhmm"), F.col("after"), F.col("zone"))

    found = rows.select(F.unix_micros(at).alias("at")).collect()

    assert [datetime.fromtimestamp(row["at"] / 1e6, UTC) for row in found] == [
        datetime.fromisoformat(expected) for *_, expected in cases
    ]
