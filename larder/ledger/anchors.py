"""What MLflow remembers of the ledger: a ledger that was rebuilt whole, its head included, does not hold it."""

from collections.abc import Mapping, Sequence

from larder.contracts.errors import DependencyError
from larder.contracts.settings import Settings
from larder.ledger.entry import Entry
from larder.model_registry import has_registry, quiet_mlflow

ANCHOR_TAG = "larder.ledger_head"
"""Tag of a registered model: the hash of the entry that made its champion, a promotion or a rollback."""


def anchors(settings: Settings) -> dict[str, str] | None:
    """Registered model -> hash of an entry that the ledger must hold; None when there is no MLflow database.

    Raises DependencyError when MLflow cannot be asked.
    """
    if not has_registry(settings.mlflow):
        return None
    mlflow = quiet_mlflow()
    client = mlflow.MlflowClient(settings.mlflow)
    found: dict[str, str] = {}
    token = None
    while True:
        try:
            page = client.search_registered_models(page_token=token)
        except mlflow.exceptions.MlflowException as problem:
            raise DependencyError(
                f"MLflow at {settings.mlflow} refused, so what it remembers of the ledger is unknown: "
                f"{problem.message} Check LARDER_MLFLOW and that the server runs."
            ) from problem
        found |= {model.name: model.tags[ANCHOR_TAG] for model in page if ANCHOR_TAG in model.tags}
        token = page.token
        if not token:
            return found


def anchor_problem(entries: Sequence[Entry], anchored: Mapping[str, str]) -> str | None:
    """The first model whose champion the ledger does not know of; None when it knows of all."""
    hashes = {entry.hash for entry in entries}
    for model, anchor in sorted(anchored.items()):
        if anchor not in hashes:
            return (
                f"MLflow remembers that entry {anchor[:12]} made the champion of {model}, but the ledger lacks it: "
                "it was rebuilt, or is another project's."
            )
    return None
