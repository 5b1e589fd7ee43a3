"""Where the tables of a Feast project lie."""

from pathlib import Path

from feast.repo_config import RepoConfig

from larder.contracts.settings import load_settings


def lake_root(config: RepoConfig) -> str:
    """Root of the Delta tables: LARDER_LAKE, else the store's `lake`, else the default below the state folder."""
    lake = getattr(config.offline_store, "lake", "")
    if lake and "://" not in lake:
        lake = str(Path(config.repo_path or ".").absolute() / Path(lake).expanduser())
    return load_settings(near=config.repo_path, configured_lake=lake).lake
