"""The HTTP application: POST /predict and what operators ask."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from larder.contracts.answer import Answer
from larder.contracts.clock import Clock
from larder.contracts.errors import LarderError
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.contracts.use_case import declared, use_case_name
from serving.http.access import Access
from serving.http.queue import Queue
from serving.http.responses import UNAUTHORIZED, defect, http_error, json_response
from serving.log.logger import PredictionLogger
from serving.metrics import CONTENT_TYPE, Metrics
from serving.models.champion import CurrentChampion, VersionLoader
from serving.models.shadow import CurrentShadow, ShadowListener
from serving.online_store import OnlineStore, online_store
from serving.predict import Predict
from serving.protocols.routes import Protocols

PREDICT = "/predict"
SECONDS_BETWEEN_LOOKS = 1.0
"""How long a promotion, another shadow or a new token goes unnoticed."""


def create_app(settings: Settings) -> "Application":
    """The application for the configured use case; serves once started, with Redis away it answers 503.

    Raises LarderError when no champion was promoted, or when its bundle is damaged.
    """
    answer = declared("serving", Answer, settings)
    name = use_case_name(settings)
    store = online_store(settings)
    loader = VersionLoader(settings.bundles, name, answer, store, settings.trusted_keys)
    log = PredictionLogger(settings.state / "spool" / name, Lake(settings.lake).predictions(name))
    access = Access(settings.tokens)
    return Endpoints(CurrentChampion(loader), CurrentShadow(loader), answer, store, log, access, settings.clock).app()


class Application(Starlette):
    """Starlette, but requests to predict go past its layers: they cost as much CPU as reading the features."""

    def __init__(self, predict: Predict, access: Access, queue: Queue, **options: Any) -> None:
        super().__init__(**options)
        self._predict = predict
        self._access = access
        self.queue = queue
        """Of the requests that wait for an answer; kept by the server's protocol."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._access.permits(scope["path"], scope["headers"]):
            await UNAUTHORIZED(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == PREDICT and scope["method"] == "POST":
            await self._predict(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class Endpoints:
    """The application's parts, and one method per route but POST /predict."""

    def __init__(
        self,
        current: CurrentChampion,
        shadow: CurrentShadow,
        answer: Answer,
        store: OnlineStore,
        log: PredictionLogger,
        access: Access,
        clock: Clock,
    ) -> None:
        self._current = current
        self._shadow = shadow
        self._answer = answer
        self._store = store
        self._log = log
        self._access = access
        self._clock = clock
        self._metrics = Metrics()
        self._metrics.watch(log)
        self._queue = Queue()
        self._metrics.watch_queue(self._queue)
        self._listener = ShadowListener(answer, store, log.log, self._metrics)
        self._show_state()

    def app(self) -> Application:
        predict = Predict(
            self._current,
            self._shadow,
            self._listener,
            self._answer,
            self._store,
            self._log,
            self._metrics,
            self._clock,
        )
        routes = [
            Route(PREDICT, predict, methods=["POST"]),
            Route("/health", self.health),
            Route("/ready", self.ready),
            Route("/metrics", self.metrics),
            Route("/model", self.model),
            *Protocols(self._current, self._answer, predict, self.ready).routes(),
        ]
        handlers: dict[Any, Any] = {HTTPException: _http_error, Exception: _defect}
        return Application(
            predict, self._access, self._queue, routes=routes, lifespan=self._lifespan, exception_handlers=handlers
        )

    async def health(self, _: Request) -> Response:
        """The process lives."""
        return json_response({"status": "alive"})

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
            return json_response({"ready": False, "reason": str(problem), **state}, status=503)
        return json_response({"ready": True, **state})

    async def metrics(self, _: Request) -> Response:
        self._show_state()
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def model(self, _: Request) -> Response:
        """Manifest of the version that answers, the fields that a request needs, and who listens."""
        model = self._current.champion.model
        return json_response(
            {
                **msgspec.to_builtins(model.manifest),
                "columns": [column.name for column in model.plan.columns],
                "request": model.plan.request,
                "example": {"rows": [self._answer.example]},
                "shadow": self._shadow_state(),
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
            await asyncio.to_thread(self._access.refresh)
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
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(self._listener.close)
            await asyncio.to_thread(self._log.close)
            self._store.close()


async def _http_error(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    return http_error(problem)


async def _defect(_: Request, problem: Exception) -> Response:
    return defect(problem)
