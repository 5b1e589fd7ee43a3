from typing import Any

import pytest
from feast import FeatureStore
from feast.repo_config import RepoConfig

from larder.contracts.errors import ConfigurationError


@pytest.mark.parametrize(
    ("section", "setting", "possible"),
    [
        ({"online_store": {"type": "larder.online.RedisOnlineStore"}}, "redis_type", "connection_string, layout"),
        ({"offline_store": {"type": "larder.offline.DeltaOfflineStore"}}, "lakes", "lake, engine"),
        ({"batch_engine": {"type": "larder.compute.SparkFeatureEngine"}}, "spark_rows", "spark_from_rows, compact"),
    ],
)
def test_a_setting_that_is_none_is_refused_with_those_there_are(section: Any, setting: str, possible: str):
    (name,) = section
    section = {name: section[name] | {setting: "secret"}}

    with pytest.raises(ConfigurationError, match=f"no setting '{setting}'; it has {possible}") as refused:
        getattr(RepoConfig(project="shop", provider="local", registry="registry.db", **section), name)
    assert "secret" not in str(refused.value)


def test_a_wrong_setting_of_the_engine_is_told_before_it_is_needed():
    engine = {"type": "larder.compute.SparkFeatureEngine", "spark_from_rows": -1}
    store = FeatureStore(
        config=RepoConfig(project="shop", provider="local", registry="registry.db", batch_engine=engine)
    )

    with pytest.raises(ConfigurationError, match="spark_from_rows is -1"):
        store._get_provider().batch_engine  # noqa: B018 - made when it is first asked for


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (
            {"offline_store": {"type": "larder.offline.DeltaOfflineStore", "engine": "fast"}},
            "engine is 'fast'. Input should be 'auto'",
        ),
        (
            {"online_store": {"type": "larder.online.RedisOnlineStore", "read_timeout_seconds": "redis://u:secret@h"}},
            "read_timeout_seconds is an address. Input should be a valid number",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_told_in_one_line(section: Any, said: str):
    (name,) = section

    with pytest.raises(ConfigurationError, match=said) as refused:
        getattr(RepoConfig(project="shop", provider="local", registry="registry.db", **section), name)
    assert "\n" not in str(refused.value) and "secret" not in str(refused.value)
