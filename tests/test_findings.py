"""The monitoring table: a reader gets the newest finding of each window, and only those that it asked for."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from larder.contracts.errors import InvalidDataError
from larder.contracts.monitoring import Finding, Verdict
from larder.findings import SCHEMA, About, append_findings, read_findings
from larder.offline.tables.delta_writing import append_rows
from tests.monitoring.library import NOW, WINDOW

PSI = WINDOW.judged("drift", "pages", "psi", 0.4, 0.2, Verdict.ALARM, "It moved.")
OTHER_SUBJECT = replace(PSI, subject="genre")
OTHER_METRIC = replace(PSI, metric="wasserstein", verdict=Verdict.OK)
NULLS = WINDOW.unknown("nulls", "pages", "null_share", "Nothing to see.")


@pytest.fixture
def place(tmp_path: Path) -> str:
    append_findings(str(tmp_path), [PSI, OTHER_SUBJECT, OTHER_METRIC, NULLS])
    return str(tmp_path)


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ([], []),
        ([About("nulls")], [NULLS]),
        ([About("drift", "psi")], [PSI, OTHER_SUBJECT]),
        ([About("drift", subject="pages")], [PSI, OTHER_METRIC]),
        ([About("drift", "psi", "genre"), About("nulls"), About("skew")], [OTHER_SUBJECT, NULLS]),
        (None, [PSI, OTHER_SUBJECT, OTHER_METRIC, NULLS]),
    ],
)
def test_a_reader_gets_the_findings_that_it_asks_for(place: str, about: list[About] | None, expected: list[Finding]):
    assert read_findings(place, until=NOW, about=about) == expected


def test_of_a_window_looked_at_again_only_the_newest_finding_is_read(place: str):
    again = replace(PSI, run_at=NOW + timedelta(hours=1), value=0.1, verdict=Verdict.OK)
    append_findings(place, [again])

    assert read_findings(place, until=again.run_at, about=[About("drift", "psi")]) == [OTHER_SUBJECT, again]
    assert read_findings(place, until=again.run_at, since=NOW) == [again]
    assert read_findings(place, until=NOW, since=NOW) == []


def test_of_runs_at_one_instant_the_last_one_counts(place: str):
    """As under LARDER_CLOCK: what was mended since the run before would go on refusing a training."""
    for value in (0.3, 0.1):
        append_findings(place, [replace(PSI, value=value), replace(OTHER_SUBJECT, value=value)])

    found = {(item.subject, item.value) for item in read_findings(place, until=NOW)}
    assert found == {("pages", 0.1), ("genre", 0.1)}


def test_findings_of_an_older_release_are_read_and_a_later_run_counts(tmp_path: Path):
    rows = pa.Table.from_pylist([vars(PSI) | {"verdict": str(PSI.verdict)}], SCHEMA)
    append_rows(str(tmp_path), rows)
    assert read_findings(str(tmp_path), until=NOW) == [PSI]

    append_findings(str(tmp_path), [NULLS])
    assert read_findings(str(tmp_path), until=NOW) == [NULLS]


def test_before_the_first_run_there_are_no_findings(tmp_path: Path):
    assert read_findings(str(tmp_path / "none"), until=NOW) == []


def test_nothing_is_appended_to_a_damaged_table_and_the_error_names_it(place: str):
    append_findings(place, [PSI])
    (Path(place) / "_delta_log" / "00000000000000000000.json").write_text("{cut off")

    with pytest.raises(InvalidDataError, match=f"{place} is damaged.*Restore the file"):
        append_findings(place, [PSI])
