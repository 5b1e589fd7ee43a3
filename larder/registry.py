"""The project's Feast registry: opening it, and its address independent of the folder Feast is called from."""

import warnings
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import URL, CreateEnginePlugin, make_url

from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings, load_settings

if TYPE_CHECKING:
    from feast import FeatureStore


def feature_store(settings: Settings) -> "FeatureStore":
    """The feature store that the `feature_store.yaml` of the project describes.

    Raises ConfigurationError when there is none, or when Feast does not accept what it says.
    """
    if not (settings.feature_repo / "feature_store.yaml").is_file():
        raise ConfigurationError(
            f"Neither {settings.feature_repo} nor {settings.home} holds a feature_store.yaml. Call Larder from a "
            "project or a Feast repository, set LARDER_HOME to one, or make one (docs/use_your_own_data.md)."
        )
    from feast import FeatureStore
    from feast.repo_config import FeastConfigError

    # Feast warns at every use of the two kinds of view that this project is built on. It also installs a
    # filter of its own when it is imported, so ours can only come afterwards.
    warnings.filterwarnings("ignore", message=".* experimental", category=RuntimeWarning)
    try:
        return FeatureStore(repo_path=str(settings.feature_repo))
    except FeastConfigError as problem:
        found = problem._error_message  # pydantic's, whose own text takes lines and ends with an address
        said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found.errors())
        file = settings.feature_repo / "feature_store.yaml"
        raise ConfigurationError(f"Feast does not accept {file} ({said}). Correct it.") from problem


class RegistryPlugin(CreateEnginePlugin):
    """Replace `...?plugin=larder` in `feature_store.yaml` by the address in `LARDER_REGISTRY`.

    Feast's SQL registry takes a relative sqlite path from the caller's folder, and `feature_store.yaml`
    knows no default for an unset variable; SQLAlchemy's engine plug-ins are the documented place between.
    """

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        settings = load_settings()
        settings.state.mkdir(parents=True, exist_ok=True)
        self._registry = make_url(settings.registry)

    def update_url(self, url: URL) -> URL:  # noqa: ARG002 - the address is replaced whole
        return self._registry
