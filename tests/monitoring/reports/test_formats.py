from typing import Any

import pytest

from monitoring.reports import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.76543, "0.765"), (1234.56, "1,234.6"), (2475.0, "2,475"), (4.1e-7, "4.1e-07"), (1e12, "1.0e+12"),
        (0.0, "0.000"), (-3.5, "-3.500"), (12, "12"), (8000, "8,000"),
        (True, "yes"), (None, "—"), (float("nan"), "—"), ("north", "north"),
    ],
)  # fmt: skip
def test_numbers_are_written_for_people(value: Any, text: str):
    assert formats.number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0%"), (0.0004, "<0.1%"), (0.0038, "0.4%"), (0.0951, "9.5%"), (0.24, "24%"), (0.993, "99.3%"),
        (0.9996, ">99.9%"), (1.0, "100%"), (None, "—"),
    ],
)  # fmt: skip
def test_rare_things_are_not_rounded_to_never(share: float | None, text: str):
    assert formats.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (12.3, "12 s"), (59.7, "1 min 00 s"), (185, "3 min 05 s")]
)
def test_durations_are_written_for_people(seconds: float, text: str):
    assert formats.duration(seconds) == text


def test_instants_are_shown_in_utc_and_names_that_look_like_years_stay():
    assert formats.instant("2022-01-18T12:00:00-05:00") == "18 Jan 2022, 17:00 UTC"
    assert formats.instant("2022") == "2022"


def test_a_day_is_that_of_the_instant_s_own_time_zone():
    assert formats.day("2021-12-31T23:00:00-05:00") == "31 December 2021"
