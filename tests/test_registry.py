from pathlib import Path

import pytest

from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings, load_settings
from larder.registry import feature_store

GOOD = "project: shop\nprovider: local\nregistry: registry.db\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [("project: [1]", "project: Input should be a valid string"), ("provider: local", "project: Field required")],
)
def test_what_feast_does_not_accept_is_told_by_field_in_one_line(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match="Feast does not accept") as refused:
        feature_store(project(tmp_path, content))

    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(("content", "shown"), [("", "nothing"), ("[]", r"\[\]"), ("shop", "'shop'")])
def test_a_file_without_settings_is_refused(tmp_path: Path, content: str, shown: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"feature_store\.yaml holds {shown}, not settings"):
        project(tmp_path, content)


def test_a_store_opens(tmp_path: Path) -> None:
    assert feature_store(project(tmp_path, GOOD)).project == "shop"


def project(home: Path, content: str) -> Settings:
    (home / "feature_store.yaml").write_text(content)
    return load_settings({"LARDER_HOME": str(home)})
