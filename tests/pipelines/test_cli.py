"""`larder ingest` says what it did, and fails only when it could do nothing."""

from dataclasses import replace

import pytest
from click.testing import CliRunner

from larder.cli import larder
from larder.contracts.errors import InvalidDataError
from larder.contracts.reports import read_report
from pipelines.cli import ingest
from tests.pipelines.conftest import Project


@pytest.fixture
def project_with_file(shop: Project) -> Project:
    home = shop.settings.home
    (home / "feature_repo").mkdir(parents=True)
    (home / "feature_repo" / "shop.py").touch()
    (home / "pipelines").mkdir()
    (home / "pipelines" / "shop.py").write_text(
        "from larder.contracts.ingestion import Column, Ingestion, RawTable, SilverTable\n"
        "number = (Column('number', 'int64'),)\n"
        "ingestion = Ingestion(\n"
        "    raw=(RawTable('numbers', files='numbers*.csv', key=('number',), columns=number),),\n"
        "    silver=(SilverTable('numbers', source='numbers', key=('number',), columns=number),),\n"
        ")\n"
    )
    return replace(shop, settings=replace(shop.settings, use_case=""))


def test_refused_rows_are_reported_and_are_no_failure(project_with_file: Project):
    path = project_with_file.put("numbers.csv", "number", "1", "x", "y")

    done = CliRunner().invoke(ingest, [str(path)], obj=project_with_file.settings, catch_exceptions=False)

    assert done.exit_code == 0
    assert "bronze/numbers: 2 rows to quarantine, most often: number is no whole number" in done.output
    assert all(len(line) <= 80 for line in done.output.splitlines() if "/" in line and "quarantine" not in line)
    assert [line.split()[:6] for line in done.output.splitlines() if line.strip().startswith("bronze/numbers ")] == [
        ["bronze/numbers", "3", "1", "0", "0", "2"]
    ]
    report = read_report(project_with_file.settings, "ingest")
    assert [(item["table"], item["rows"], item["new"]) for item in report["tables"]] == [
        ("bronze/numbers", 3, 1),
        ("silver/numbers", 1, 1),
    ]


def test_a_file_that_no_table_asks_for_is_named(project_with_file: Project):
    project_with_file.put("numbers.csv", "number", "1")
    project_with_file.put("2024/nummers.csv", "number", "2")

    done = CliRunner().invoke(ingest, [], obj=project_with_file.settings, catch_exceptions=False)

    assert "Left alone: 2024/nummers.csv. File names are numbers*.csv (numbers)." in " ".join(done.output.split())


def test_it_is_a_failure_when_nothing_could_be_taken(project_with_file: Project):
    project_with_file.put("numbers.csv", "nummer", "1")
    result = CliRunner().invoke(ingest, [], obj=project_with_file.settings, standalone_mode=False)

    assert isinstance(result.exception, InvalidDataError)
    assert "lacks the columns ['number']" in result.output


def test_the_command_is_part_of_larder():
    assert "ingest" in CliRunner().invoke(larder, ["--help"]).output
