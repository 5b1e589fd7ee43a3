import shutil
from pathlib import Path

import pytest

from larder.compute.materialize import apply_definitions
from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import load_settings

DEFINITIONS = Path(__file__).parent.parent / "second_use_case" / "feature_repo"


@pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
def test_an_on_demand_view_that_answers_none_when_feast_tries_it_is_named(tmp_path, monkeypatch):
    shutil.copytree(DEFINITIONS, tmp_path / "feature_repo", ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "feature_repo" / "returns.py"
    file.write_text(file.read_text().replace('"order_amount": inputs["amount"]', '"order_amount": [None]'))
    monkeypatch.setenv("LARDER_HOME", str(tmp_path))
    monkeypatch.setenv("LARDER_REDIS", "redis://127.0.0.1:1/0")

    with pytest.raises(ConfigurationError, match="On-demand view 'order_amounts' returns None for the made-up values"):
        apply_definitions(load_settings())
