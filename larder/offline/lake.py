"""Where the tables of a Feast project lie."""

from pathlib import Path

from feast.repo_config import RepoConfig

from larder.contracts.settings import load_settings


def lake_root(config: RepoConfig) -> str:
    """Root of the Delta tables: LARDER_LAKE, else the store's `lake`, else the default below the state folder."""
    settings = load_settings(near=config.repo_path)
    lake = getattr(config.offline_store, "lake", "")
    is_overridden = settings.lake != str(settings.state / "lake")
    if not lake or is_overridden:
        return settings.lake
    if "://" in lake:
        return str(lake)
    return str(Path(config.repo_path or ".").absolute() / Path(lake).expanduser())
