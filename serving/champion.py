"""The champion that answers, replaced without a restart when another one is promoted."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from larder.contracts.answer import Answer
from larder.contracts.bundle import champion_bundle
from larder.contracts.errors import InvalidDataError, LarderError
from larder.online.reader import FeatureReader
from serving.model import Model, load_model
from serving.online_store import OnlineStore
from serving.predictions import check_rules
from serving.requests import Decode, decoder

SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True)
class Champion:
    """All that one answer needs, of one version; an answer takes it once, so that no answer mixes versions."""

    model: Model
    reader: FeatureReader
    decode: Decode

    @property
    def version(self) -> str:
        return self.model.manifest.version


@dataclass(frozen=True)
class ChampionLoader:
    """Loads what `<bundles>/<model>/champion` points at."""

    bundles: Path
    model: str
    answer: Answer
    store: OnlineStore

    def promoted_version(self) -> str:
        """Raises MissingTableError when nothing was promoted, InvalidDataError for a pointer out of the folder."""
        bundle = champion_bundle(self.bundles, self.model)
        if bundle.parent != self.bundles / self.model or bundle.name.startswith("."):
            raise InvalidDataError(
                f"The champion of {self.model!r} under {self.bundles} points at {bundle}, outside its versions; "
                "refused. Run `larder promote` again."
            )
        return bundle.name

    def load(self, version: str) -> Champion:
        """Raises LarderError when the bundle is damaged or does not fit the use case."""
        model = load_model(self.bundles / self.model / version)
        check_rules(self.answer, model)
        return Champion(model, self.store.reader(model.plan), decoder(model.plan))


class CurrentChampion:
    """The champion in use. Each promotion is loaded beside it and takes its place only if it fits."""

    def __init__(self, loader: ChampionLoader) -> None:
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
        except (LarderError, OSError) as problem:
            self.refusal = f"Version {self.champion.version} goes on answering: {problem}"

    def reconnect(self) -> None:
        """Read from where the online store is now."""
        self.champion = replace(self.champion, reader=self._loader.store.reader(self.champion.model.plan))

    async def follow(self) -> None:
        """Look for promotions for ever; a task of the application."""
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
            await asyncio.to_thread(self.refresh)
