"""POST /predict: from a body to an answer."""

import secrets
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from larder.contracts.answer import Answer
from larder.contracts.clock import Clock
from larder.contracts.errors import InvalidDataError, LarderError
from larder.online.reading.compiled import FeatureRows
from larder.online.reading.request import shown
from serving.http.body import json_body
from serving.http.responses import RETRY_AFTER, defect, error_response, http_error, json_response
from serving.log.logger import PredictionLogger
from serving.log.prediction_log import LoggedAnswer
from serving.metrics import Metrics
from serving.models.answers import live_answer
from serving.models.champion import CurrentChampion
from serving.models.predictions import rendered
from serving.models.shadow import CurrentShadow, ShadowListener
from serving.online_store import OnlineStore


class Given(NamedTuple):
    """An answer, and the features that it rests on."""

    logged: LoggedAnswer
    features: FeatureRows


@dataclass(frozen=True)
class Predict:
    """The endpoint, as plain ASGI."""

    current: CurrentChampion
    shadow: CurrentShadow
    listener: ShadowListener
    answer: Answer
    store: OnlineStore
    log: PredictionLogger
    metrics: Metrics
    clock: Clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Predictions for `{"rows": [...]}`; with `?explain=true` each one shows the features that the model saw."""
        try:
            response = await self.counted(self._response(scope, receive), unusable=422)
        except Exception as problem:
            await defect(problem)(scope, receive, send)
            raise  # into the server's log
        await response(scope, receive, send)

    async def counted(self, answer: Awaitable[Response], *, unusable: int) -> Response:
        """The answer, or the error that a caller is told instead: with the status `unusable` for a request that cannot
        be used. Raises what is a defect, which counts as 500."""
        started = time.perf_counter()
        try:
            response = await answer
        except HTTPException as problem:
            response = http_error(problem)
        except InvalidDataError as problem:
            response = error_response(unusable, str(problem))
        except LarderError as problem:
            response = error_response(503, str(problem), RETRY_AFTER)
        except Exception:
            self.metrics.count_request(500, time.perf_counter() - started)
            raise
        self.metrics.count_request(response.status_code, time.perf_counter() - started)
        return response

    async def _response(self, scope: Scope, receive: Receive) -> Response:
        return self._predicted(await json_body(scope, receive), is_explained=_is_explained(scope))

    def given(self, body: bytes) -> Given:
        """The champion's answer to `{"rows": [...]}`: logged, heard by the shadow and counted.

        Raises InvalidDataError for a body that cannot be used, OnlineStoreError when no features can be read.
        """
        champion = self.current.champion
        rows = champion.decode(body)
        features = self.store.read(champion.reader, rows)
        logged = live_answer(champion.model, self.answer, rows, features, at=self.clock(), id=secrets.token_hex(16))
        self.log.log(logged)
        if (shadow := self.shadow.version) is not None:
            self.listener.hear(shadow, logged, features)
        self.metrics.count_predictions(logged.predictions)
        return Given(logged, features)

    def given_rows(self, rows: Sequence[dict[str, Any]]) -> Given:
        """The same for rows that came in another form; they are checked as if they had come in this server's own."""
        return self.given(msgspec.json.encode({"rows": rows}))

    def _predicted(self, body: bytes, *, is_explained: bool) -> Response:
        given = self.given(body)
        logged, model = given.logged, given.logged.model
        predictions = [rendered(prediction, self.answer, model.manifest) for prediction in logged.predictions]
        if is_explained:
            names = [column.name for column in model.plan.columns]
            for item, values in zip(predictions, given.features.values, strict=True):
                item["features"] = dict(zip(names, values, strict=True))
        manifest = model.manifest
        return json_response(
            {
                "predictions": predictions,
                "model": {"name": manifest.model, "version": manifest.version},
                "at": logged.at,
                "id": logged.id,
            }
        )


def _is_explained(scope: Scope) -> bool:
    query = scope["query_string"]
    asked = QueryParams(query).get("explain", "false") if query else "false"
    if asked not in ("true", "false"):
        raise InvalidDataError(f"explain is {shown(asked)}; possible are true and false.")
    return asked == "true"
