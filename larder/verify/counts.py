"""What a comparison found, counted per feature and cause."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from larder.verify.causes import Cause
from larder.verify.compare import Part


@dataclass(frozen=True)
class FeatureComparison:
    """One feature over all entities of its view; equal + stale + different = entities."""

    feature: str
    equal: int
    """Same value on both sides, or absent on both."""
    stale: int
    """Past its ttl on both sides, hence withheld."""
    different: int
    causes: dict[Cause, int] = field(default_factory=dict)
    """Different ones by cause, the most frequent first."""

    @property
    def missing(self) -> int:
        """Of the different ones: Redis lacks the entity."""
        return self.causes.get("missing", 0)


@dataclass(frozen=True)
class ViewComparison:
    """All entities of one view, or a sample of them."""

    view: str
    entities: int
    features: tuple[FeatureComparison, ...]
    strays: int = 0
    """Entities in Redis that the history has never heard of; each of their features is different."""
    error: str = ""
    """Why the view could not be compared; nothing is counted then."""

    @property
    def compared(self) -> int:
        return (self.entities + self.strays) * len(self.features)

    @property
    def different(self) -> int:
        return sum(item.different for item in self.features) + self.strays * len(self.features)


class Tally:
    """The parts of one view added up; they themselves need not be kept."""

    def __init__(self, view: str, features: Sequence[str]) -> None:
        self._view, self._features = view, features
        self._entities = self._stale = self._strays = 0
        self._causes: list[Counter[Cause]] = [Counter() for _ in features]

    def add(self, part: Part) -> None:
        self._entities += part.entities
        self._stale += part.stale
        self._strays += part.strays
        for difference in part.differences:
            for place in difference.features:
                self._causes[place][difference.cause] += 1

    @property
    def comparison(self) -> ViewComparison:
        features = tuple(map(self._feature, self._features, self._causes))
        return ViewComparison(self._view, self._entities, features, self._strays)

    def _feature(self, name: str, causes: Counter[Cause]) -> FeatureComparison:
        different = causes.total()
        equal = self._entities - self._stale - different
        return FeatureComparison(name, equal, self._stale, different, dict(causes.most_common()))
