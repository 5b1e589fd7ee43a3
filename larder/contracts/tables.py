"""Names and places of the Delta tables, and the columns that all of them share."""

from dataclasses import dataclass

EVENT_TIMESTAMP = "event_timestamp"
"""The instant that a value describes. UTC, microseconds."""

KNOWN_AT = "known_at"
"""The instant from which serving could have returned the value; never earlier than the event timestamp."""

LIVE, SHADOW = "live", "shadow"
"""Traffic of a logged prediction: answered to a caller, or by a model that only listens."""


@dataclass(frozen=True)
class Lake:
    """The folder or object-store prefix that holds every table, one sub-folder per layer."""

    root: str

    def bronze(self, name: str) -> str:
        """Raw rows as they came, append only."""
        return self._place("bronze", name)

    def silver(self, name: str) -> str:
        """Clean events, one row per natural key."""
        return self._place("silver", name)

    def quarantine(self, name: str) -> str:
        """Refused rows of a silver table, with the reason."""
        return self._place("quarantine", name)

    def gold(self, view: str) -> str:
        """Windowed feature views: entity x instant at which a feature changes, append only."""
        return self._place("gold", view)

    def labels(self, name: str) -> str:
        """Entity x prediction instant: request fields, value, and when the value became known."""
        return self._place("labels", name)

    def predictions(self, name: str) -> str:
        """One row per answer given, append only."""
        return self._place("predictions", name)

    def monitoring(self, name: str) -> str:
        """One row per finding of a monitor, append only."""
        return self._place("monitoring", name)

    def _place(self, layer: str, name: str) -> str:
        return f"{self.root.rstrip('/')}/{layer}/{name}"
