"""The version that a retrieval reads, fixed before it reads anything."""

from dataclasses import replace

from feast.repo_config import RepoConfig

from larder.offline.history import History
from larder.offline.lake import lake_root
from larder.offline.retrieval.reading import pinned
from larder.versions.pins import require_unpinned, version_to_read


def pinned_for_retrieval(history: History, config: RepoConfig) -> History:
    """`history` at the version of `table_versions`, of its definition, of `larder data checkout`, or the latest.

    The first of these that there is. What writes (materialization) uses `pinned` instead, which knows only the
    definition: a checkout must not bring old values online. Raises ConfigurationError when `table_versions` is in
    force and does not pin this table.
    """
    if history.format == "parquet":
        require_unpinned(history.table)
        return pinned(history)
    version = version_to_read(history.table, lake=lake_root(config), version=history.version, near=config.repo_path)
    return pinned(replace(history, version=version))
