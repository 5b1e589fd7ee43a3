"""What a replay says of incidents: noticed by whom, after how long, and which alarms nothing explains."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from larder.contracts.monitoring import Finding, Verdict
from replay.day import DayDone
from replay.incidents import Incident
from replay.result import is_explained, noticed

FIRST = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
INCIDENT = Incident("view_stops", FIRST + 3 * DAY, FIRST + 5 * DAY, view="orders")


def day(number: int, *alarms: str) -> DayDone:
    now = FIRST + number * DAY
    findings = [
        Finding(now, now - DAY, now, name.split(" of ")[0], name.split(" of ")[1], "m", 1.0, 0.0, Verdict.ALARM, "")
        for name in alarms
    ]
    return DayDone(now, 10, findings)


def test_the_first_alarm_after_the_start_is_the_one_that_noticed():
    days = [day(3), day(4), day(5, "freshness of orders"), day(6, "skew of price")]

    found = noticed(INCIDENT, days, ())

    assert (found.monitor, found.subject, found.hours) == ("freshness", "orders", 48)


def test_an_alarm_that_rang_before_the_incident_did_not_notice_it():
    days = [day(3, "drift of price"), day(4, "drift of price"), day(5, "drift of price", "skew of price")]

    assert noticed(INCIDENT, days, ()).monitor == "skew"


def test_only_monitors_that_the_incident_names_count():
    named = Incident("view_stops", INCIDENT.start, INCIDENT.end, view="orders", detected_by=("freshness",))

    assert noticed(named, [day(3), day(4, "drift of price")], ()).monitor is None


def test_alarms_long_after_an_incident_are_not_its():
    assert noticed(INCIDENT, [day(3), day(20, "freshness of orders")], ()).monitor is None
    assert is_explained(FIRST + 6 * DAY, (INCIDENT,)) and not is_explained(FIRST + 20 * DAY, (INCIDENT,))
    assert not is_explained(FIRST + 2 * DAY, (INCIDENT,))


def test_an_incident_whose_alarms_pause_is_noticed_by_what_rings_next():
    quiet = replace(day(3, "drift of price"), findings=[])

    assert noticed(INCIDENT, [quiet, day(4, "drift of price")], ()).monitor == "drift"
