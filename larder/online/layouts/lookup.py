"""The views of one Feast request, compiled: from its join keys to Redis keys, from records to what each row finds."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property

import msgspec
from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.value_type import ValueType

from larder.contracts.errors import ConfigurationError, MissingKeyError
from larder.contracts.plan import Column, Feature, FeaturePlan, ViewPlan
from larder.online.feast_values import NO_VALUE, python_of
from larder.online.reading.compiled import Asked, Cell, CompiledPlan, FeatureRows

JoinKeys = Mapping[str, Sequence[Value]]
"""Name in the request -> one value per row."""


class ViewLookup:
    """One view of a request; `names` are the features that it asks for, in order."""

    def __init__(self, plan: ViewPlan, view: FeatureView, names: Sequence[str]) -> None:
        self.plan = plan
        self.view = view
        self.names = list(names)
        places = {feature.name: place for place, feature in enumerate(plan.features)}
        # The registry hands a stream view back with its join keys among the features, so they can be asked for.
        if unknown := sorted(set(names) - set(places)):
            raise ConfigurationError(
                f"Feature view {plan.reference!r} is asked for {unknown}; join keys come back with the entity rows. "
                f"Ask for its features: {sorted(places)}."
            )
        self.places = [places[name] for name in names]

    @property
    def features(self) -> list[Feature]:
        return [self.plan.features[place] for place in self.places]

    def shown_names(self, *, is_full: bool) -> list[str]:
        """Those of the features in a response; `is_full`: preceded by that of the view."""
        prefix = f"{self.view.projection.name_to_use()}__" if is_full else ""
        return [prefix + name for name in self.names]


class Lookup:
    """All views of a request. Never changes, so that threads may share it."""

    def __init__(self, project: str, views: Sequence[ViewLookup]) -> None:
        self.views = list(views)
        # By their places: two versions of a view have one name in a request.
        plans = [msgspec.structs.replace(view.plan, alias=str(place)) for place, view in enumerate(views)]
        columns = [
            Column(feature.name, plan.reference, feature.name, feature.dtype)
            for plan, view in zip(plans, views, strict=True)
            for feature in view.features
        ]
        plan = FeaturePlan(project, "", tuple(plans), on_demand=(), request_fields=(), columns=tuple(columns))
        self._names = [key.name for key in plan.entity_keys]
        self._compiled = CompiledPlan(plan)

    @cached_property
    def feature_types(self) -> dict[str, ValueType]:
        """By name, as Feast's response wants them."""
        types: dict[str, ValueType] = OnlineStore._build_feature_types([(view.view, view.names) for view in self.views])
        return types

    def asked(self, join_keys: JoinKeys) -> Asked:
        """The Redis keys of all views and rows; a null key finds nothing.

        Raises MissingKeyError or InvalidDataError, naming the key.
        """
        missing = [name for name in self._names if name not in join_keys]
        if missing:
            raise MissingKeyError(
                f"The request lacks the join key {missing[0]!r}; it has {sorted(set(join_keys) - {DUMMY_ENTITY_ID})}. "
                "Add it to each entity row.",
                field=missing[0],
            )
        if not self._names:
            return self._compiled.asked([{}] * max(map(len, join_keys.values()), default=0))
        columns = [[python_of(value) for value in join_keys[name]] for name in self._names]
        return self._compiled.asked([dict(zip(self._names, row, strict=True)) for row in zip(*columns, strict=True)])

    def found(self, asked: Asked, records: Iterable[bytes | None], now: datetime) -> list[list[Cell]]:
        """Per view what each row finds in the `records` of `asked.keys`.

        Raises SchemaMismatchError or OnlineStoreError for a record that cannot be read.
        """
        return self._compiled.cells(asked, records, now)

    def rows(self, asked: Asked, records: Iterable[bytes | None], now: datetime) -> FeatureRows:
        """The same as one row per row of the request, the views' features side by side. Raises what `found` raises."""
        return self._compiled.answered(asked, records, now)


def joined_columns(plan: ViewPlan, keys: Sequence[EntityKey]) -> JoinKeys:
    """Entity keys as columns; Feast names the parts of each key and orders them as it likes."""
    parts = [dict(zip(key.join_keys, key.entity_values, strict=True)) for key in keys]
    # A view without entities has no column; one of nulls keeps the number of rows.
    names = plan.request_keys or (DUMMY_ENTITY_ID,)
    return {name: [part.get(name, NO_VALUE) for part in parts] for name in names}
