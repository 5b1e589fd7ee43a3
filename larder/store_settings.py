"""What the settings of our stores and of our engine in feature_store.yaml have in common."""

from typing import Any

from feast.repo_config import FeastConfigBaseModel
from pydantic import model_validator

from larder.contracts.errors import ConfigurationError


class StoreSettings(FeastConfigBaseModel):
    """A section of feature_store.yaml; a setting that is none is refused with those there are."""

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, given: dict[str, Any]) -> dict[str, Any]:
        # Not a ValueError: pydantic would show the whole section with it, and an address may hold a password.
        unknown = sorted(given.keys() - cls.model_fields.keys())
        if unknown:
            raise ConfigurationError(
                f"{cls.model_fields['type'].default} has no setting {', '.join(map(repr, unknown))}; it has "
                f"{', '.join(name for name in cls.model_fields if name != 'type')}. Correct feature_store.yaml."
            )
        return given
