import re
import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from larder.compute.materialize import apply_definitions
from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import load_settings
from larder.registry import feature_store

DEFINITIONS = Path(__file__).parent.parent / "second_use_case" / "feature_repo"


PUSHED = 'PushSource(name="returns_push", batch_source=returns)'


@pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
@pytest.mark.parametrize(
    ("written", "instead", "told"),
    [
        (
            '"order_amount": inputs["amount"]',
            '"order_amount": [None]',
            "On-demand view 'order_amounts' returns None for the made-up values",
        ),
        (
            '"order_amount": inputs["amount"],',
            "",
            r"On-demand view 'order_amounts' declares 'order_amount' \(FLOAT64\), but its function returned nothing",
        ),
        (PUSHED, "returns", "Stream feature view 'buyer_returns' has no stream source"),
    ],
)
def test_what_feast_does_not_name_is_named(tmp_path, monkeypatch, written, instead, told):
    shutil.copytree(DEFINITIONS, tmp_path / "feature_repo", ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "feature_repo" / "returns.py"
    assert written in file.read_text()
    file.write_text(file.read_text().replace(written, instead))
    monkeypatch.setenv("LARDER_HOME", str(tmp_path))
    monkeypatch.setenv("LARDER_REDIS", "redis://127.0.0.1:1/0")

    with pytest.raises(ConfigurationError, match=told):
        apply_definitions(load_settings())


@pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
def test_versions_that_a_teardown_left_are_told_and_once_deleted_let_apply_go_on(tmp_path, monkeypatch):
    shutil.copytree(DEFINITIONS, tmp_path / "feature_repo", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("LARDER_HOME", str(tmp_path))
    monkeypatch.setenv("LARDER_REDIS", "redis://127.0.0.1:1/0")
    store = apply_definitions(load_settings())
    store.registry.delete_project(store.project)  # what a teardown does to every project, after the stores' part

    with pytest.raises(ConfigurationError, match="DELETE FROM") as told:
        apply_definitions(load_settings())
    remedy = re.search(r"DELETE FROM .* = '\w+'", str(told.value))
    with store.registry.write_engine.begin() as registry:
        registry.execute(text(remedy[0]))

    assert apply_definitions(load_settings()).list_feature_views()


def test_definitions_that_were_emptied_delete_nothing(tmp_path, monkeypatch):
    shutil.copytree(DEFINITIONS, tmp_path / "feature_repo", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("LARDER_HOME", str(tmp_path))
    monkeypatch.setenv("LARDER_REDIS", "redis://127.0.0.1:1/0")
    views = [view.name for view in apply_definitions(load_settings()).list_all_feature_views()]
    for file in (tmp_path / "feature_repo").glob("*.py"):
        file.write_text("")

    with pytest.raises(ConfigurationError, match="defines no feature view, but the registry has"):
        apply_definitions(load_settings())

    assert [view.name for view in feature_store(load_settings()).list_all_feature_views()] == views
