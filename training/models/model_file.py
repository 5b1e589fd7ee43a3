"""A fitted pipeline as a file that cannot run code when it is read."""

from typing import TYPE_CHECKING

from larder.contracts.errors import ConfigurationError, InvalidDataError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TRUSTED = "sklearn."
"""Besides what skops knows as harmless, only scikit-learn's own classes are restored,"""

HARMLESS = ("numpy.dtype",)
"""and the type of an array, which an imputer keeps: skops reads it off an empty array."""


def dumped(pipeline: "Pipeline") -> bytes:
    """The pipeline in skops' format. Raises ConfigurationError when it holds classes that are not a library's."""
    import skops.io

    data: bytes = skops.io.dumps(pipeline)
    foreign = _refused(foreign_types(data))
    if foreign:
        raise ConfigurationError(
            f"The pipeline holds {foreign}; a model consists of scikit-learn's own classes, so that it can be restored "
            "safely and served without this project. Move the computation into a feature view or an on-demand view."
        )
    return data


def foreign_types(data: bytes) -> list[str]:
    """Types in a dump that skops does not trust by itself."""
    import skops.io

    return list(skops.io.get_untrusted_types(data=data))


def loaded(data: bytes) -> "Pipeline":
    """The pipeline in `data`. Raises InvalidDataError when it is damaged or names a type that is not trusted."""
    import skops.io

    try:
        types = foreign_types(data)
    except Exception as problem:  # whatever a damaged archive provokes
        raise InvalidDataError(f"The model file is damaged: {problem}. Run `larder train` again.") from problem
    foreign = _refused(types)
    if foreign:
        raise InvalidDataError(f"The model file names {foreign}, which is not restored. Run `larder train` again.")
    return skops.io.loads(data, trusted=types)


def _refused(types: list[str]) -> list[str]:
    return [name for name in types if not name.startswith(TRUSTED) and name not in HARMLESS]
