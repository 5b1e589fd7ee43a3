"""The house rules that a reader relies on, checked over the source as text."""

import ast
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from setuptools import find_packages

from larder.contracts.settings import Settings

ROOT = Path(__file__).parent.parent
STAGES = ("pipelines", "training", "serving", "monitoring", "governance")
ABOVE = ("replay", "schedules")
"""Run the stages one after the other; no stage knows of them."""
GENERIC = sorted(
    path
    for folder in ("larder", *STAGES, *ABOVE)
    for path in (ROOT / folder).rglob("*.py")
    if path.name != "flight_delay.py" and "__pycache__" not in path.parts
)
DOMAIN = re.compile(r"flight|carrier|airport|weather|airline|aircraft|tail_number|nycflights", re.IGNORECASE)
HEAVY = {"pyspark", "mlflow", "feast"}


def _imported(path: Path) -> set[str]:
    """Top-level packages that a file imports, at any depth of its code."""
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in names}


def test_there_is_source_to_check():
    assert len(GENERIC) > 20


@pytest.mark.parametrize("path", GENERIC, ids=lambda path: str(path.relative_to(ROOT)))
def test_generic_code_does_not_know_the_domain(path: Path):
    found = [line for line in path.read_text().splitlines() if DOMAIN.search(line)]

    assert found == []


@pytest.mark.parametrize("path", GENERIC, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_stage_imports_no_other_stage_and_larder_imports_none(path: Path):
    own = path.relative_to(ROOT).parts[0]
    forbidden = {*ABOVE} if own in ABOVE else {*STAGES, *ABOVE}

    assert _imported(path) & (forbidden - {own}) == set()


@pytest.mark.parametrize("path", sorted((ROOT / "larder" / "contracts").glob("*.py")), ids=lambda path: path.stem)
def test_contracts_import_neither_spark_nor_mlflow_nor_feast(path: Path):
    assert _imported(path) & HEAVY == set()


@pytest.mark.parametrize("path", sorted((ROOT / "feature_repo").glob("*.py")), ids=lambda path: path.stem)
def test_a_feature_repo_file_imports_no_neighbour(path: Path):
    neighbours = {other.stem for other in path.parent.glob("*.py")}

    assert _imported(path) & (neighbours | {"feature_repo"}) == set()


def test_only_the_schedules_import_dagster():
    assert {path.relative_to(ROOT).parts[0] for path in GENERIC if "dagster" in _imported(path)} == {"schedules"}


def test_only_settings_reads_the_environment():
    readers = {str(path.relative_to(ROOT)) for path in GENERIC if re.search(r"os\.(environ|getenv)", path.read_text())}

    # Java and Spark are found and told things through their own variables (JAVA_HOME).
    assert readers - {"larder/spark/java.py", "larder/spark/session.py"} == {"larder/contracts/settings.py"}


def test_every_setting_is_explained_in_the_example_file():
    explained = set(re.findall(r"^(?:# )?(LARDER_\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    variables = {item.metadata.get("variable", f"LARDER_{item.name.upper()}") for item in fields(Settings)}

    assert explained == variables


def test_the_store_is_installed_without_the_stages_and_they_as_a_package_of_their_own():
    """Feast repositories have packages called `training` and `serving`, too."""

    def installed(project: str) -> set[str]:
        found = tomllib.loads((ROOT / project).read_text())["tool"]["setuptools"]["packages"]["find"]
        return {name.split(".")[0] for name in find_packages(str(ROOT), include=found["include"])}

    assert installed("pyproject.toml") == {"larder"}
    assert installed("infra/stages/pyproject.toml") == {path.parts[-2] for path in ROOT.glob("*/__init__.py")} - {
        "larder",
        "tests",
    }


def test_both_packages_have_the_same_version_and_python():
    store, stages = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"] for folder in (".", "infra/stages")
    )

    for field in ("version", "requires-python", "license"):
        assert store[field] == stages[field], field


def test_the_pages_beside_the_code_are_installed_with_it():
    stages = tomllib.loads((ROOT / "infra" / "stages" / "pyproject.toml").read_text())
    patterns = stages["tool"]["setuptools"]["package-data"]
    installed = {path for package, globs in patterns.items() for glob in globs for path in (ROOT / package).glob(glob)}
    beside = {path for folder in ("larder", *STAGES, *ABOVE) for path in (ROOT / folder).rglob("*.*")}

    assert {path for path in beside if path.suffix in (".html", ".css")} == installed


def test_the_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"`make ([a-z-]+)", (ROOT / "README.md").read_text()))

    assert named and named <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
