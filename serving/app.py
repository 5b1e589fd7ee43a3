"""The HTTP application: POST /predict and what operators ask."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from larder.contracts.answer import Answer
from larder.contracts.clock import Clock
from larder.contracts.errors import InvalidDataError, LarderError
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.contracts.use_case import declared, use_case_name
from serving.answers import live_answer
from serving.champion import CurrentChampion, VersionLoader
from serving.metrics import CONTENT_TYPE, Metrics
from serving.online_store import OnlineStore, online_store
from serving.prediction_log import PredictionLog, delta_writer
from serving.predictions import rendered
from serving.requests import MAX_BODY_BYTES
from serving.shadow import CurrentShadow, ShadowListener

SECONDS_FOR_A_BODY = 10.0
RETRY_AFTER_SECONDS = "1"
SECONDS_BETWEEN_LOOKS = 1.0
"""How long a promotion, or another shadow, goes unnoticed."""


def create_app(settings: Settings) -> Starlette:
    """The application for the configured use case; serves once started, with Redis away it answers 503.

    Raises LarderError when no champion was promoted, or when its bundle is damaged.
    """
    answer = declared("serving", Answer, settings)
    name = use_case_name(settings)
    store = online_store(settings)
    loader = VersionLoader(settings.bundles, name, answer, store)
    log = PredictionLog(delta_writer(Lake(settings.lake).predictions(name)))
    return Endpoints(CurrentChampion(loader), CurrentShadow(loader), answer, store, log, settings.clock).app()


class Endpoints:
    """The application's parts, and one method per route."""

    def __init__(
        self,
        current: CurrentChampion,
        shadow: CurrentShadow,
        answer: Answer,
        store: OnlineStore,
        log: PredictionLog,
        clock: Clock,
    ) -> None:
        self._current = current
        self._shadow = shadow
        self._answer = answer
        self._store = store
        self._log = log
        self._clock = clock
        self._metrics = Metrics()
        self._metrics.watch(log)
        self._listener = ShadowListener(answer, store, log, self._metrics)
        self._show_state()

    def app(self) -> Starlette:
        routes = [
            Route("/predict", self.predict, methods=["POST"]),
            Route("/health", self.health),
            Route("/ready", self.ready),
            Route("/metrics", self.metrics),
            Route("/model", self.model),
        ]
        handlers: dict[Any, Any] = {HTTPException: _http_error, Exception: _defect}
        return Starlette(routes=routes, lifespan=self._lifespan, exception_handlers=handlers)

    async def predict(self, request: Request) -> Response:
        """Predictions for `{"rows": [...]}`; with `?explain=true` each one shows the features that the model saw."""
        started = time.perf_counter()
        response = await self._prediction_response(request)
        self._metrics.count_request(response.status_code, time.perf_counter() - started)
        return response

    async def health(self, _: Request) -> Response:
        """The process lives."""
        return _json({"status": "alive"})

    async def ready(self, _: Request) -> Response:
        """Whether answers can be given now: the bundle is verified, Redis answers and holds what the model reads."""
        champion = self._current.champion
        state = {
            "model": champion.model.manifest.model,
            "version": champion.version,
            "refused": self._current.refusal,
            "shadow": self._shadow_state(),
        }
        try:
            await asyncio.to_thread(self._store.check, champion.model.plan)
        except LarderError as problem:
            return _json({"ready": False, "reason": str(problem), **state}, status=503)
        return _json({"ready": True, **state})

    async def metrics(self, _: Request) -> Response:
        self._show_state()
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def model(self, _: Request) -> Response:
        """Manifest of the version that answers, the fields that a request needs, and who listens."""
        model = self._current.champion.model
        return _json(
            {
                **msgspec.to_builtins(model.manifest),
                "columns": [column.name for column in model.plan.columns],
                "request": [*model.plan.entity_keys, *model.plan.request_fields],
                "example": {"rows": [self._answer.example]},
                "shadow": self._shadow_state(),
            }
        )

    async def _prediction_response(self, request: Request) -> Response:
        try:
            return self._predicted(await _body(request), is_explained=request.query_params.get("explain") == "true")
        except HTTPException as problem:
            return await _http_error(request, problem)
        except InvalidDataError as problem:
            return _error(422, str(problem))
        except LarderError as problem:
            return _error(503, str(problem), {"Retry-After": RETRY_AFTER_SECONDS})

    def _predicted(self, body: bytes, *, is_explained: bool) -> Response:
        champion = self._current.champion
        rows = champion.decode(body)
        features = self._store.read(champion.reader, rows)
        logged = live_answer(champion.model, self._answer, rows, features, at=self._clock(), id=uuid.uuid4().hex)
        self._log.log(logged)
        if (shadow := self._shadow.version) is not None:
            self._listener.hear(shadow, logged, features)
        self._metrics.count_predictions(logged.predictions)
        shown = [rendered(prediction, self._answer) for prediction in logged.predictions]
        if is_explained:
            names = [column.name for column in champion.model.plan.columns]
            for item, values in zip(shown, features.values, strict=True):
                item["features"] = dict(zip(names, values, strict=True))
        manifest = champion.model.manifest
        return _json(
            {
                "predictions": shown,
                "model": {"name": manifest.model, "version": manifest.version},
                "at": logged.at,
                "id": logged.id,
            }
        )

    def _show_state(self) -> None:
        manifest, shadow = self._current.champion.model.manifest, self._shadow_state()
        self._metrics.set_champion(manifest.model, manifest.version, self._current.refusal)
        self._metrics.set_shadow(manifest.model, shadow["version"], shadow["refused"])
        self._metrics.set_online_store_up(self._store.problem is None)

    def _shadow_state(self) -> dict[str, str | None]:
        shadow = self._shadow.version
        return {"version": None if shadow is None else shadow.version, "refused": self._shadow.refusal}

    async def _follow(self) -> None:
        """Look for promotions and shadows for ever; a task of the application."""
        while True:
            await asyncio.to_thread(self._current.refresh)
            await asyncio.to_thread(self._shadow.refresh, self._current.champion)
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._log.start()
        self._listener.start()
        tasks = [
            asyncio.create_task(self._follow()),
            asyncio.create_task(self._store.recover(on_new_address=self._current.reconnect)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await asyncio.to_thread(self._listener.close)
            await asyncio.to_thread(self._log.close)
            self._store.close()


async def _body(request: Request) -> bytes:
    """The whole body. Raises HTTPException for another content type, a body too large or too slow in coming."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise HTTPException(415, f"The body is {content_type or 'of no stated type'}; send application/json.")
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS_FOR_A_BODY):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _closing(413, f"The body exceeds {MAX_BODY_BYTES} bytes; send fewer rows per request.")
    except TimeoutError:
        raise _closing(408, f"The body did not arrive within {SECONDS_FOR_A_BODY:.0f} seconds.") from None
    except ClientDisconnect:
        raise _closing(400, "The connection ended before the body did.") from None
    return bytes(body)


def _closing(status: int, reason: str) -> HTTPException:
    """An error after which the rest of the body is not worth reading."""
    return HTTPException(status, reason, headers={"Connection": "close"})


async def _http_error(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    return _error(problem.status_code, problem.detail, dict(problem.headers or {}))


async def _defect(_: Request, problem: Exception) -> Response:
    return _error(500, f"Unexpected {type(problem).__name__}; this is a defect, see the server's log.")


def _error(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    return _json({"error": reason}, status=status, headers=headers)


def _json(content: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")
