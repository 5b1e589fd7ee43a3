"""A feature plan: a feature service compiled into what a reader needs, free of Feast.

Training stores it in the serving bundle; the reader turns it into keys, offsets and an order once,
so that a request does no look-up in a registry.
"""

import hashlib

import msgspec


class Feature(msgspec.Struct, frozen=True):
    """One field of a view. `dtype` is the lower-case name of Feast's type: `float64`, `string`, `array<int64>`, ..."""

    name: str
    dtype: str


class ViewPlan(msgspec.Struct, frozen=True):
    """One feature view as it lies in the online store."""

    name: str
    join_keys: tuple[Feature, ...]
    """Key columns in stored order."""
    request_keys: tuple[str, ...]
    """Name of each join key in the request; differs from the join key where the service maps it."""
    features: tuple[Feature, ...]
    """All fields of the record in stored order, not only those that the service asks for."""
    ttl_seconds: float | None
    """Age beyond which a value is withheld; None means never."""
    alias: str | None = None
    """Name by which the service calls the view, where it has one of its own."""

    @property
    def reference(self) -> str:
        """Name of the view in `Column.view` and `OnDemandPlan.inputs`."""
        return self.alias or self.name

    @property
    def fingerprint(self) -> bytes:
        """Eight bytes that change with the name, type or order of any key or feature."""
        shape = [[[item.name, item.dtype] for item in part] for part in (self.join_keys, self.features)]
        return hashlib.sha256(msgspec.json.encode([self.name, shape])).digest()[:8]


class OnDemandPlan(msgspec.Struct, frozen=True):
    """A request-time transformation: the pickled function of a Feast on-demand view (mode="python")."""

    name: str
    function: bytes
    """dill payload; it takes and returns a dict of column name -> list of values."""
    inputs: tuple[tuple[str, str], ...]
    """(view or "" for request data, field) of each input."""
    outputs: tuple[Feature, ...]


class Column(msgspec.Struct, frozen=True):
    """One model input: a field of a stored view or of an on-demand view."""

    name: str
    view: str
    feature: str
    dtype: str


class FeaturePlan(msgspec.Struct, frozen=True):
    """Everything that turns a request into model inputs."""

    project: str
    service: str
    views: tuple[ViewPlan, ...]
    on_demand: tuple[OnDemandPlan, ...]
    request_fields: tuple[Feature, ...]
    """Data that only the caller has; timestamps come as ISO 8601 text with a time zone."""
    columns: tuple[Column, ...]
    """Model inputs in model order."""

    @property
    def entity_keys(self) -> tuple[Feature, ...]:
        """Keys that a request must name, each once, in order of first use."""
        keys: dict[str, Feature] = {}
        for view in self.views:
            for name, key in zip(view.request_keys, view.join_keys, strict=True):
                keys.setdefault(name, Feature(name, key.dtype))
        return tuple(keys.values())

    @property
    def request(self) -> tuple[Feature, ...]:
        """All that a request must name: keys, then the caller's own data."""
        return (*self.entity_keys, *self.request_fields)


def encoded(plan: FeaturePlan) -> bytes:
    return msgspec.json.format(msgspec.json.encode(plan), indent=1)


def decoded(text: bytes) -> FeaturePlan:
    return msgspec.json.decode(text, type=FeaturePlan)
