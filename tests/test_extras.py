"""An installation without some extra of the package."""

import importlib
import subprocess
import sys
from importlib.metadata import metadata, packages_distributions, requires

import pytest

from larder.extras import MODULES, missing_extra


@pytest.mark.parametrize(
    ("name", "absent", "extra"),
    [
        ("larder.offline.DeltaOfflineStore", "polars", "store"),
        ("larder.online.RedisOnlineStore", "pyarrow", "store"),
        ("larder.compute.SparkFeatureEngine", "deltalake", "store"),
    ],
)
def test_a_store_without_its_extra_says_which_to_install(name: str, absent: str, extra: str):
    module, _, attribute = name.rpartition(".")
    script = f"import sys, {module}; sys.modules[{absent!r}] = None; {module}.{attribute}"

    run = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True)

    last = run.stderr.strip().splitlines()[-1]
    assert last.endswith(
        f"{attribute} needs {absent}, which is not installed. Install it with pip install 'larder[{extra}]'."
    )


def test_spark_without_its_extra_says_so():
    script = (
        "import sys; sys.modules['pyspark'] = None; from larder.contracts.settings import load_settings; "
        "from larder.spark.session import spark_session; spark_session(load_settings())"
    )

    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert "Spark needs pyspark, which is not installed. Install it with pip install 'larder[spark]'." in run.stderr


def test_a_module_that_no_extra_brings_is_not_explained():
    assert missing_extra(ModuleNotFoundError(name="my_features")) is None


@pytest.mark.parametrize("extra", MODULES)
def test_each_module_is_brought_by_the_extra_that_it_is_listed_under(extra: str):
    owners = packages_distributions()
    required = [line.lower() for line in requires("larder") or () if f'extra == "{extra}"' in line]

    assert extra in (metadata("larder").get_all("Provides-Extra") or ())
    for module in MODULES[extra]:
        names = {owner.lower().replace("_", "-") for owner in owners.get(module, ())}
        assert any(line.startswith(name) for line in required for name in names), module


def test_what_feast_ui_reads_a_registry_with_is_installed():
    importlib.import_module("feast.api.registry.rest")  # Feast does not say that it needs grpcio-reflection

    assert "grpc_reflection" in sys.modules
