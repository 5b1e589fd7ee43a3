"""What a retrieval reads, through a real feature store."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.repo_config import RepoConfig
from feast.types import Float64, String
from feast.value_type import ValueType

from larder.contracts.errors import ConfigurationError, MissingTableError
from larder.offline import DeltaSource, table_versions
from larder.offline.retrieval.job import DeltaRetrievalJob, TableRead
from larder.offline.tables.delta_table import open_table
from larder.versions.checkout import check_out, release
from larder.versions.commits import commits
from larder.versions.pins import checked_out, version_to_read
from larder.versions.snapshot import snapshot
from tests.versions.conftest import delete_files

DAY = datetime(2024, 1, 1, tzinfo=UTC)
UTC_MICROSECONDS = pa.timestamp("us", "UTC")


@pytest.fixture
def place(settings) -> str:
    """One pan whose weight is 0 in version 0, 1 in version 1, 2 in version 2."""
    place = f"{settings.lake}/silver/scales"
    for kg in (0.0, 1.0, 2.0):
        row = pa.table({"pan": ["a"], "kg": [kg], "event_timestamp": pa.array([DAY], UTC_MICROSECONDS)})
        write_deltalake(place, row, mode="overwrite")
    return place


def store(settings, *, batch_source: FileSource | None = None, **source) -> FeatureStore:
    pan = Entity(name="pan", join_keys=["pan"], value_type=ValueType.STRING)
    view = FeatureView(
        name="scales",
        entities=[pan],
        source=batch_source or DeltaSource(path="silver/scales", timestamp_field="event_timestamp", **source),
        schema=[Field(name="pan", dtype=String), Field(name="kg", dtype=Float64)],
    )
    config = RepoConfig(
        project="shop",
        provider="local",
        repo_path=settings.home,
        registry={"registry_type": "sql", "path": f"sqlite:///{settings.home / 'registry.db'}"},
        offline_store={"type": "larder.offline.DeltaOfflineStore"},
        online_store={"type": "sqlite", "path": str(settings.home / "online.db")},
        entity_key_serialization_version=3,
        coerce_tz_aware=False,
    )
    made = FeatureStore(config=config)
    made.apply([pan, view])
    return made


def asked(made: FeatureStore) -> DeltaRetrievalJob:
    request = pa.table({"pan": ["a"], "event_timestamp": pa.array([DAY + timedelta(hours=1)], UTC_MICROSECONDS)})
    return made.get_historical_features(entity_df=request, features=["scales:kg"])


def weight(made: FeatureStore) -> float:
    return asked(made).to_arrow()["kg"].to_pylist()[0]


def test_a_retrieval_reads_the_versions_of_its_context_and_only_inside(settings, place):
    made = store(settings)

    with table_versions({"silver/scales": 0}):
        assert weight(made) == 0.0
        with table_versions({place: 1}):
            assert weight(made) == 1.0
        assert weight(made) == 0.0
        job = asked(made)

    assert weight(made) == 2.0
    assert job.to_arrow()["kg"].to_pylist() == [0.0], "a job keeps its versions"


def test_the_other_retrievals_read_them_too(settings, place):
    made = store(settings)
    provider, view = made._get_provider(), made.get_feature_view("scales")
    range_ = {"start_date": DAY - timedelta(days=1), "end_date": DAY + timedelta(days=1)}
    columns = (["pan"], ["kg"], "event_timestamp")

    with table_versions({"silver/scales": 1}):
        latest = provider.offline_store.pull_latest_from_table_or_query(
            made.config, view.batch_source, *columns, None, **range_
        )
        everything = provider.offline_store.pull_all_from_table_or_query(
            made.config, view.batch_source, *columns, **range_
        )

    assert latest.to_arrow()["kg"].to_pylist() == everything.to_arrow()["kg"].to_pylist() == [1.0]


def test_sql_over_a_source_reads_them_too(settings, place):
    made = store(settings)
    query = 'SELECT pan, kg AS asked, event_timestamp FROM "silver/scales"'

    with table_versions({"silver/scales": 1}):
        job = made.get_historical_features(entity_df=query, features=["scales:kg"])

    rows = job.to_arrow()
    assert (rows["asked"].to_pylist(), rows["kg"].to_pylist()) == ([1.0], [1.0])


def test_parquet_files_cannot_be_pinned_and_say_so(settings):
    path = settings.home / "scales.parquet"
    pq.write_table(pa.table({"pan": ["a"], "kg": [0.0], "event_timestamp": pa.array([DAY], UTC_MICROSECONDS)}), path)
    made = store(settings, batch_source=FileSource(path=str(path), timestamp_field="event_timestamp"))

    assert weight(made) == 0.0 and asked(made).tables == []
    with table_versions({"silver/scales": 1}), pytest.raises(ConfigurationError, match=r"Parquet files.*Delta table"):
        asked(made)


def test_the_job_says_table_version_and_rows(settings, place):
    write_deltalake(
        place,
        pa.table({"pan": ["b"], "kg": [0.0], "event_timestamp": pa.array([DAY], UTC_MICROSECONDS)}),
        mode="append",
    )
    made = store(settings)

    assert asked(made).tables == [TableRead(place, 3, 2)]
    with table_versions({"silver/scales": 2}):
        assert asked(made).tables == [TableRead(place, 2, 1)]
        assert asked(made).versions == {place: 2}


def test_a_table_that_the_context_does_not_name_is_refused(settings, place):
    with (
        table_versions({"silver/other": 0}),
        pytest.raises(ConfigurationError, match=r"silver/scales, .* only \['silver/other'\]"),
    ):
        asked(store(settings))


def test_a_context_that_contradicts_the_definition_is_refused(settings, place):
    made = store(settings, version=1)

    with table_versions({"silver/scales": 0}), pytest.raises(ConfigurationError, match=r"version 0 .* pins version 1"):
        asked(made)
    with table_versions({"silver/scales": 1}):
        assert weight(made) == 1.0


def test_a_timestamp_in_the_definition_is_a_pin_like_a_version(settings, place):
    second = commits(place)[1].committed_at
    made = store(settings, timestamp=second)
    meant = max(commit.version for commit in commits(place) if commit.committed_at <= second)

    assert weight(made) == float(meant)
    with table_versions({"silver/scales": 2}), pytest.raises(ConfigurationError, match=f"pins version {meant}"):
        asked(made)


def test_a_timestamp_before_the_table_is_refused_when_it_is_read(settings, place):
    with pytest.raises(MissingTableError, match="had no version at 1999"):
        asked(store(settings, timestamp=datetime(1999, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize("version", [-1, "1", 1.0, True, None])
def test_what_is_no_version_is_refused(version):
    with pytest.raises(ConfigurationError, match="no Delta versions"), table_versions({"t": version}):
        pass


def test_a_checkout_is_read_until_it_is_released(settings, place):
    made, log = store(settings), commits(place)
    check_out(settings, {"silver/scales": snapshot(open_table(place, 1), log)})

    assert weight(made) == 1.0
    with table_versions({"silver/scales": 0}):
        assert weight(made) == 0.0, "a context goes before a checkout"
    assert release(settings, []) == ["silver/scales"]
    assert weight(made) == 2.0 and checked_out(settings) == {}


def test_a_checkout_leaves_the_pins_of_definitions_and_other_tables_alone(settings, place):
    made = store(settings, version=0)
    check_out(settings, {"silver/scales": snapshot(open_table(place, 1), commits(place))})

    assert weight(made) == 0.0
    assert version_to_read(f"{settings.lake}/silver/other", lake=settings.lake) is None


def test_materialization_does_not_read_a_checkout(settings, place):
    from larder.offline.history import history_of
    from larder.offline.retrieval.reading import pinned

    made = store(settings)
    check_out(settings, {"silver/scales": snapshot(open_table(place, 1), commits(place))})

    assert pinned(history_of(made.get_feature_view("scales"), made.config)).version == 2


def test_a_pinned_version_whose_files_are_gone_is_named_with_the_remedy(settings, place):
    made = store(settings)
    lost = open_table(place).vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert len(lost) == 2

    with (
        table_versions({"silver/scales": 0}),
        pytest.raises(MissingTableError, match=rf"Version 0 of {place} cannot be read .* `larder data vacuum`"),
    ):
        weight(made)
    assert weight(made) == 2.0


def test_spark_names_lost_files_the_same_way(settings, place, spark):
    made = store(settings)
    made.config.offline_store.engine = "spark"
    with table_versions({"silver/scales": 0}):
        assert weight(made) == 0.0
    delete_files(place, [uri.rpartition("/")[2] for uri in open_table(place, 0).file_uris()])

    with table_versions({"silver/scales": 0}), pytest.raises(MissingTableError, match=f"Version 0 of {place} cannot"):
        weight(made)


def test_the_latest_version_with_lost_files_is_named_as_well(settings, place):
    delete_files(place, [uri.rpartition("/")[2] for uri in open_table(place).file_uris()])

    with pytest.raises(MissingTableError, match=r"version 2 of .*, the newest one, was removed"):
        weight(store(settings))
