"""The champion that answers, replaced without a restart when another one is promoted."""

from dataclasses import dataclass, replace
from pathlib import Path

from larder.contracts.answer import Answer
from larder.contracts.bundle import champion_bundle, shadow_version
from larder.contracts.errors import InvalidDataError
from larder.online.reading.reader import FeatureReader
from serving.models.model import Model, load_model
from serving.models.predictions import check_rules
from serving.online_store import OnlineStore
from serving.requests import Decode, decoder


@dataclass(frozen=True)
class Version:
    """All that one answer needs, of one version; an answer takes it once, so that no answer mixes versions."""

    model: Model
    reader: FeatureReader
    decode: Decode

    @property
    def version(self) -> str:
        return self.model.manifest.version


@dataclass(frozen=True)
class VersionLoader:
    """Loads what `<bundles>/<model>/champion` and `shadow` point at."""

    bundles: Path
    model: str
    answer: Answer
    store: OnlineStore
    trusted_keys: Path | None = None

    def promoted_version(self) -> str:
        """Raises MissingTableError when nothing was promoted, InvalidDataError for a pointer out of the folder."""
        return self._version_of(champion_bundle(self.bundles, self.model))

    def shadow_version(self) -> str | None:
        """The version that listens; None when none is named. Raises InvalidDataError as above."""
        named = shadow_version(self.bundles, self.model)
        return None if named is None else self._version_of(self.bundles / self.model / named)

    def load(self, version: str) -> Version:
        """Raises LarderError when the bundle is damaged or does not fit the use case."""
        model = load_model(self.bundles / self.model / version, trusted_keys=self.trusted_keys)
        check_rules(self.answer, model)
        return Version(model, self.store.reader(model.plan), decoder(model.plan))

    def _version_of(self, bundle: Path) -> str:
        if bundle.parent != self.bundles / self.model or bundle.name.startswith("."):
            raise InvalidDataError(
                f"A pointer of {self.model!r} under {self.bundles} names {bundle}, outside its versions; refused. "
                "Run `larder promote` again."
            )
        return bundle.name


class CurrentChampion:
    """The champion in use. Each promotion is loaded beside it and takes its place only if it fits."""

    def __init__(self, loader: VersionLoader) -> None:
        """Load the first one. Raises LarderError: without a champion there is nothing to answer with."""
        self._loader = loader
        self.champion = loader.load(loader.promoted_version())
        self.refusal: str | None = None
        """Why the promoted version does not serve; None while it does."""

    def refresh(self) -> None:
        """Take over a newly promoted version; one that does not fit leaves the old one answering."""
        try:
            version = self._loader.promoted_version()
            if version != self.champion.version:
                candidate = self._loader.load(version)
                self._loader.store.check(candidate.model.plan)
                self.champion = candidate
            self.refusal = None
        except Exception as problem:  # whatever is wrong with a promotion, the version before it answers
            self.refusal = f"Version {self.champion.version} goes on answering: {problem}"

    def reconnect(self) -> None:
        """Read from where the online store is now."""
        self.champion = replace(self.champion, reader=self._loader.store.reader(self.champion.model.plan))
