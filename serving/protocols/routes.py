"""The routes of TensorFlow Serving and of the Open Inference Protocol, beside this server's own."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from larder.contracts.answer import Answer
from serving.http.body import json_body
from serving.http.responses import json_response
from serving.models.champion import CurrentChampion, Version
from serving.models.predictions import rendered
from serving.predict import Given, Predict
from serving.protocols import open_inference, tensorflow

Endpoint = Callable[[Request], Awaitable[Response]]
Answering = Callable[[bytes], dict[str, Any]]


class Protocols:
    """Only the champion answers, under the use case's name and its own version; asked for another it says 404."""

    def __init__(self, current: CurrentChampion, answer: Answer, predict: Predict, ready: Endpoint) -> None:
        self._current = current
        self._answer = answer
        self._predict = predict
        self._ready = ready

    def routes(self) -> list[Route]:
        found = [
            Route("/v2", self._described(lambda _: open_inference.server_metadata())),
            Route("/v2/health/live", self._described(lambda _: {"live": True})),
            Route("/v2/health/ready", self._ready),
        ]
        for version in ("", "/versions/{version}"):
            of_tensorflow, open_model = f"/v1/models/{{name}}{version}", f"/v2/models/{{name}}{version}"
            found += [
                Route(f"{of_tensorflow}:predict", self._answered(self._tensorflow), methods=["POST"]),
                Route(f"{of_tensorflow}:{{method}}", _other_method, methods=["POST"]),
                Route(of_tensorflow, self._described(lambda champion: tensorflow.status(champion.model.manifest))),
                Route(f"{of_tensorflow}/metadata", self._described(self._tensorflow_metadata)),
                Route(f"{open_model}/infer", self._answered(self._open_inference), methods=["POST"]),
                Route(open_model, self._described(self._open_metadata)),
                Route(f"{open_model}/ready", self._ready_model),
            ]
        return found

    def _tensorflow(self, body: bytes) -> dict[str, Any]:
        request = tensorflow.asked(body)
        return tensorflow.answered(self._shown(self._predict.given_rows(request.rows)), request)

    def _open_inference(self, body: bytes) -> dict[str, Any]:
        request = open_inference.asked(body)
        given = self._predict.given_rows(request.rows())
        manifest = given.logged.model.manifest
        return open_inference.answered(self._shown(given), request, manifest, self._answer, id=given.logged.id)

    def _shown(self, given: Given) -> list[dict[str, Any]]:
        logged = given.logged
        return [rendered(prediction, self._answer, logged.model.manifest) for prediction in logged.predictions]

    def _tensorflow_metadata(self, champion: Version) -> dict[str, Any]:
        return tensorflow.metadata(champion.model.manifest, champion.model.plan)

    def _open_metadata(self, champion: Version) -> dict[str, Any]:
        return open_inference.model_metadata(champion.model.manifest, champion.model.plan, self._answer)

    def _described(self, describe: Callable[[Version], dict[str, Any]]) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            self._require_served(request)
            return json_response(describe(self._current.champion))

        return endpoint

    def _answered(self, answer: Answering) -> Endpoint:
        """As POST /predict, but what cannot be used is 400, as both protocols have it."""

        async def endpoint(request: Request) -> Response:
            return await self._predict.counted(self._response(answer, request), unusable=400)

        return endpoint

    async def _response(self, answer: Answering, request: Request) -> Response:
        self._require_served(request)
        return json_response(answer(await json_body(request.scope, request.receive)))

    async def _ready_model(self, request: Request) -> Response:
        self._require_served(request)
        return await self._ready(request)

    def _require_served(self, request: Request) -> None:
        manifest = self._current.champion.model.manifest
        asked = request.path_params
        if asked.get("name", manifest.model) != manifest.model:
            raise HTTPException(404, f"There is no model {asked['name']!r} here; {manifest.model!r} answers.")
        if asked.get("version", manifest.version) != manifest.version:
            raise HTTPException(404, f"Version {asked['version']} does not answer; version {manifest.version} does.")


async def _other_method(request: Request) -> Response:
    method = request.path_params["method"]
    raise HTTPException(404, f"There is no method {method!r} here; a model answers to `:predict`.")
