"""What all tests share."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

# Feast switches this library to its mode for several processes, also in those that this one starts (xdist's workers);
# what is imported before stays as it is in serving.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
import prometheus_client  # noqa: F401
import pytest

from larder.contracts.settings import Settings, load_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_shell() -> Iterator[None]:
    """Tests make their own settings; those of whoever runs them must not leak in."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("LARDER_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def spark_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a small Spark whose state folder has a space in its name and the project's JARs."""
    jars = load_settings({}).state / "ivy"
    jars.mkdir(parents=True, exist_ok=True)
    state = tmp_path_factory.mktemp("spark state")
    link_jars(state, jars)
    return replace(
        load_settings({}), home=state, state=state, lake=str(state / "lake"), spark_master="local[2]", spark_memory="1g"
    )


@pytest.fixture(scope="session")
def spark(spark_settings: Settings) -> "Iterator[SparkSession]":
    """The one Spark session of the test run, with Delta Lake."""
    from larder.spark.session import spark_session

    with pytest.MonkeyPatch.context() as patch:
        # Tests run nearly all code once, on few rows: the quick compiler is the faster one.
        patch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
        session = spark_session(spark_settings, app_name="larder-tests")
    session.conf.set("spark.sql.shuffle.partitions", "2")
    yield session
    session.stop()


def link_jars(state: Path, jars: Path) -> None:
    """Let a test's state folder use JARs that are already here, so that the tests download nothing twice."""
    (state / "ivy").symlink_to(jars, target_is_directory=True)
