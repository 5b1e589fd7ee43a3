from typing import Any

import pytest
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
