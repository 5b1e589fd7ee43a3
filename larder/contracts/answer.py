"""What a use case decides about its answers; its serving file declares exactly one `Answer`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from larder.contracts.errors import ConfigurationError
from larder.contracts.values import require_kind, require_number, require_several

BESIDE = ("confidence", "missing", "stale", "out_of_bounds", "features")
"""What an answer holds beside what was predicted."""


@dataclass(frozen=True)
class Answer:
    """How a prediction is named and, where too little is known, doubted.

    A probability comes with a decision, true from the threshold on that the champion brings along. Confidence is
    "low" when any of the three rules below fires, else "high"; a doubtful answer is still given, with the reasons.
    """

    label_table: str
    """Label table with real requests and their outcomes, for `larder ask`."""
    probability: str = "probability"
    """Name of the probability in the answer."""
    decision: str = "decision"
    """Name of the decision in the answer."""
    prediction: str = "prediction"
    """Name of the predicted number, where the objective asks for one; there is no decision then."""
    essential: tuple[str, ...] = ()
    """Feature views of which no feature may be missing or stale."""
    max_absent_share: float = 0.5
    """Largest share of model inputs, 0 to 1, that may be missing or stale."""
    max_out_of_bounds_share: float = 0.1
    """Largest share of model inputs, 0 to 1, that may lie outside the range seen in training."""
    example: Mapping[str, object] = field(default_factory=dict)
    """A request row to try: field name -> JSON value."""

    def __post_init__(self) -> None:
        require_kind("label_table of the answer", self.label_table, str)
        for name in ("probability", "decision", "prediction"):
            require_kind(f"{name} of the answer", getattr(self, name), str)
        hidden = {self.probability, self.decision, self.prediction} & {*BESIDE}
        if self.probability == self.decision:
            hidden.add(self.decision)
        if hidden:
            raise ConfigurationError(
                f"An answer would hold {', '.join(sorted(hidden))} twice, one hiding the other: give probability "
                f"and decision different names, other than {', '.join(BESIDE)}."
            )
        require_kind("example", self.example, Mapping)
        require_several("essential", self.essential, str)
        for name in ("max_absent_share", "max_out_of_bounds_share"):
            require_number(f"{name} of the answer", getattr(self, name), least=0, most=1)
