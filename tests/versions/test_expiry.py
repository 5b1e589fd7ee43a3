from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from click.testing import Result
from deltalake import DeltaTable, write_deltalake

from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings, load_settings
from larder.ledger import Act, ledger_of
from larder.versions.expiry import expire
from larder.versions.vacuum import vacuum

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
AGES = [timedelta(days=400), timedelta(days=30, microseconds=0), timedelta(days=30) - timedelta(microseconds=1)]
"""Of the rows of each table: long ago, exactly 30 days, and a microsecond less."""
TABLES = {"predictions/loans": "at", "quarantine/loans": "quarantined_at", "monitoring/loans": "run_at"}


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LARDER_CLOCK", NOW.isoformat())
    return load_settings()


@pytest.fixture
def tables(settings: Settings) -> None:
    for name, since in TABLES.items():
        write(settings, name, since)
    write(settings, "silver/loans", "at")
    write(settings, "quarantine/raw_files", "refused_at")


def write(settings: Settings, name: str, since: str) -> None:
    at = pa.array([NOW - age for age in AGES], pa.timestamp("us", "UTC"))
    request = [{"who": "ann"}, {"who": "bob"}, None]
    write_deltalake(f"{settings.lake}/{name}", pa.table({since: at, "request": request, "row": [1, 2, 3]}))


def rows(settings: Settings, name: str) -> list[int]:
    return sorted(DeltaTable(f"{settings.lake}/{name}").to_pyarrow_table()["row"].to_pylist())


@pytest.mark.usefixtures("tables")
def test_what_is_as_old_as_said_goes_from_tables_that_nothing_is_made_of(
    settings: Settings, larder_data: Callable[..., Result]
) -> None:
    dry = larder_data("expire", "--days", "30", "--dry-run").output
    assert [rows(settings, name) for name in TABLES] == [[1, 2, 3]] * len(TABLES)

    done = larder_data("expire", "--days", "30").output

    assert [rows(settings, name) for name in TABLES] == [[3]] * len(TABLES)
    assert rows(settings, "silver/loans") == rows(settings, "quarantine/raw_files") == [1, 2, 3]
    for name in TABLES:
        assert f"{name}  2 rows would be deleted" in dry and f"{name}  2 rows deleted" in done
    assert "silver" not in done and "raw_files" not in done


@pytest.mark.usefixtures("tables")
def test_the_ledger_keeps_what_went_and_not_that_nothing_did(
    settings: Settings, larder_data: Callable[..., Result]
) -> None:
    larder_data("expire", "predictions/loans", "--days", "30")
    larder_data("expire", "--days", "3000")

    (entry,) = ledger_of(settings).entries(acts=(Act.EXPIRY,))
    assert entry.subject == "predictions/loans" and entry.at == NOW
    assert entry.outcome == {"rows": 2, "until": "2024-02-09T12:00:00Z"}


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("name", ["silver/loans", "quarantine/raw_files", "gold/loans"])
def test_rows_that_something_is_made_of_do_not_expire(
    settings: Settings, larder_data: Callable[..., Result], name: str
) -> None:
    if name == "gold/loans":
        write(settings, name, "event_timestamp")

    with pytest.raises(ConfigurationError, match=f"Rows of {name} do not expire"):
        larder_data("expire", name, "--days", "1")

    assert rows(settings, name) == [1, 2, 3]


@pytest.mark.usefixtures("tables")
def test_feature_logs_expire_where_they_are_named(settings: Settings, larder_data: Callable[..., Result]) -> None:
    write(settings, "logs/ranking", "__log_timestamp")

    assert "logs" not in larder_data("expire", "--days", "30").output
    assert rows(settings, "logs/ranking") == [1, 2, 3]
    larder_data("expire", "logs/ranking", "--days", "30")
    assert rows(settings, "logs/ranking") == [3]


@pytest.mark.usefixtures("tables")
def test_no_file_holds_them_after_the_retention_of_the_table_unless_a_pin_needs_it(settings: Settings) -> None:
    place = f"{settings.lake}/predictions/loans"
    before = set(DeltaTable(place).file_uris())

    done = expire(place, NOW - timedelta(days=30), {0: ("data.lock",)}, lake=settings.lake)
    assert done.rows == 2 and not done.vacuumed.deleted  # a week has to pass

    assert not vacuum(place, {0: ("data.lock",)}, retention_hours=0).deleted
    assert len(vacuum(place, {}, retention_hours=0).deleted) == len(before)
    assert rows(settings, "predictions/loans") == [3]
