"""An answer as it is logged, made by one pure function each for the champion and for the shadow.

The server and a replay of history call the same two, so that their rows in the prediction log are the same.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from larder.contracts.answer import Answer
from larder.contracts.plan import FeaturePlan
from larder.contracts.tables import SHADOW
from larder.online.reading.compiled import FeatureRows
from serving.log.prediction_log import LoggedAnswer
from serving.models.model import Model
from serving.models.predictions import predictions


def live_answer(
    model: Model, rules: Answer, rows: Sequence[dict[str, Any]], features: FeatureRows, *, at: datetime, id: str
) -> LoggedAnswer:
    """The champion's answer to request `rows`, decoded by its plan, for which `features` were read."""
    return LoggedAnswer(id, at, model, rows, features.values, predictions(model, rules, features))


def shadow_answer(model: Model, rules: Answer, live: LoggedAnswer, features: FeatureRows) -> LoggedAnswer:
    """What `model` would have answered to the same request: same id, rows and instant, everything else its own.

    `features` follow the plan of `model`; where that `reads_alike` the champion's, they are the champion's.
    """
    found = predictions(model, rules, features)
    return LoggedAnswer(live.id, live.at, model, live.rows, features.values, found, SHADOW, live.model.plan)


def reads_alike(plan: FeaturePlan, other: FeaturePlan) -> bool:
    """Whether features read by one plan are those of the other, column by column; the service's name may differ."""
    return _read(plan) == _read(other)


def _read(plan: FeaturePlan) -> tuple[object, ...]:
    return plan.project, plan.columns, plan.views, plan.on_demand, plan.request_fields
