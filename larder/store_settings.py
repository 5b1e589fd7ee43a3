"""What the settings of our stores and of our engine in feature_store.yaml have in common."""

from typing import Any, Self

from feast.repo_config import FeastConfigBaseModel
from pydantic import ModelWrapValidatorHandler, ValidationError, model_validator

from larder.contracts.errors import ConfigurationError


class StoreSettings(FeastConfigBaseModel):
    """A section of feature_store.yaml; what is no setting, or no value of one, is refused in a sentence."""

    # Not ValueErrors: pydantic would show the whole section with them, and an address may hold a password.
    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(given, dict):
            cls._check_names(given)
        try:
            return handler(given)
        except ValidationError as problem:
            wrong = problem.errors()[0]
            seen = repr(wrong["input"])
            raise ConfigurationError(
                f"{cls.model_fields['type'].default}: {'.'.join(map(str, wrong['loc']))} is "
                f"{'an address' if '@' in seen else seen}. {wrong['msg']}. Correct feature_store.yaml."
            ) from None

    @classmethod
    def _check_names(cls, given: dict[str, Any]) -> None:
        unknown = sorted(given.keys() - cls.model_fields.keys())
        if unknown:
            raise ConfigurationError(
                f"{cls.model_fields['type'].default} has no setting {', '.join(map(repr, unknown))}; it has "
                f"{', '.join(name for name in cls.model_fields if name != 'type')}. Correct feature_store.yaml."
            )
