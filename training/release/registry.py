"""What MLflow says of the champion: its alias, and a tag that ties the registry to the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from larder.contracts.errors import DependencyError
from larder.contracts.objective import CHAMPION
from larder.contracts.settings import Settings
from larder.ledger.anchors import ANCHOR_TAG
from larder.model_registry import has_registry, quiet_mlflow


@dataclass(frozen=True)
class Mark:
    """The champion as MLflow knows it."""

    version: str | None
    entry: str | None
    """Hash of the ledger's entry; None for what was promoted before there was a ledger."""


def champion_mark(settings: Settings, model: str) -> Mark | None:
    """None where MLflow knows no such model. Raises DependencyError when it cannot be asked."""
    with _client(settings) as client:
        found = client.search_registered_models(f"name = '{model}'") if client else []
        if not found:
            return None
        return Mark(_text(found[0].aliases.get(CHAMPION)), found[0].tags.get(ANCHOR_TAG))


def mark_champion(settings: Settings, model: str, *, version: str, entry: str) -> None:
    """Move the alias `champion` and the tag. Which model serves is decided by the bundle; these tell people."""
    with _client(settings) as client:
        client.set_registered_model_alias(model, CHAMPION, version)
        client.set_registered_model_tag(model, ANCHOR_TAG, entry)


@contextmanager
def _client(settings: Settings) -> Iterator[Any]:
    """A client of MLflow; None where no model was ever registered."""
    if not has_registry(settings.mlflow):
        yield None
        return
    mlflow = quiet_mlflow()
    try:
        yield mlflow.MlflowClient(settings.mlflow)
    except mlflow.exceptions.MlflowException as problem:
        raise DependencyError(
            f"MLflow at {settings.mlflow} refused: {problem.message} Check LARDER_MLFLOW and that the server runs."
        ) from problem


def _text(value: object) -> str | None:
    return None if value is None else str(value)
