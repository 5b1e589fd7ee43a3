"""The shadow: a version that answers the champion's requests too, unseen by callers and never in their way."""

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from larder.contracts.answer import Answer
from larder.contracts.errors import SchemaMismatchError
from larder.contracts.plan import FeaturePlan
from larder.online.reading.compiled import FeatureRows
from serving.log.prediction_log import LoggedAnswer
from serving.metrics import Metrics
from serving.models.answers import reads_alike, shadow_answer
from serving.models.champion import Version, VersionLoader
from serving.online_store import OnlineStore

MAX_WAITING = 5_000
"""Rows that may wait for the shadow; bounds the memory when requests come faster than it scores."""
SECONDS_TO_FINISH = 5.0


class CurrentShadow:
    """The version that `<bundles>/<model>/shadow` names, loaded beside the champion; often none."""

    def __init__(self, loader: VersionLoader) -> None:
        self._loader = loader
        self._looked: tuple[str | None, str, str] | None = None
        self.version: Version | None = None
        self.refusal: str | None = None
        """Why the version named does not listen; None while it does, or none is named."""

    def refresh(self, champion: Version) -> None:
        """Take over, replace or drop the shadow, as its pointer says.

        What cannot be loaded is tried again only when the pointer, the champion or the address of Redis changes.
        """
        looked = None
        try:
            named = self._loader.shadow_version()
            looked = named, champion.version, self._loader.store.connected_to
            if looked != self._looked:
                self.version = None if named in (None, champion.version) else self._loaded(named, champion)
                self.refusal = None
        except Exception as problem:  # whatever is wrong with a shadow, answers and promotions go on
            self.version, self.refusal = None, f"The shadow does not listen: {problem}"
        self._looked = looked

    def _loaded(self, named: str, champion: Version) -> Version:
        shadow = self._loader.load(named)
        unsent = sorted(_request_fields(shadow.model.plan) - _request_fields(champion.model.plan))
        if unsent:
            raise SchemaMismatchError(
                f"Version {named} needs {', '.join(unsent)} in requests, which callers of version {champion.version} "
                "do not send. Train it on the same request fields."
            )
        return shadow


class ShadowListener:
    """A bounded queue of answers given, and the thread in which the shadow answers them too.

    `start` before `hear`; `close` works off what waits. Where the shadow's plan reads what the champion's does, it
    sees the very values of the champion's answer. Otherwise it reads Redis itself, moments later: a value written
    in between differs.
    """

    def __init__(
        self,
        rules: Answer,
        store: OnlineStore,
        log: Callable[[LoggedAnswer], None],
        metrics: Metrics,
        *,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._rules = rules
        self._store = store
        self._log = log
        self._metrics = metrics
        self._max_waiting = max_waiting
        self._waiting: SimpleQueue[tuple[Version, LoggedAnswer, FeatureRows] | None] = SimpleQueue()
        self._waiting_rows = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hear(self, shadow: Version, live: LoggedAnswer, features: FeatureRows) -> None:
        """Queue an answer for the shadow; returns at once. A full queue drops it and counts its rows."""
        rows = len(live.rows)
        with self._lock:
            has_room = self._waiting_rows + rows <= self._max_waiting
            if has_room:
                self._waiting_rows += rows
        if has_room:
            self._waiting.put((shadow, live, features))
        else:
            self._metrics.count_shadow_dropped(rows)

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join(timeout=SECONDS_TO_FINISH)

    def _run(self) -> None:
        while (heard := self._waiting.get()) is not None:
            self._answer(*heard)

    def _answer(self, shadow: Version, live: LoggedAnswer, features: FeatureRows) -> None:
        rows = len(live.rows)
        started = time.perf_counter()
        try:
            if not reads_alike(shadow.model.plan, live.model.plan):
                features = self._store.read_beside(shadow.reader, live.rows)
            self._log(shadow_answer(shadow.model, self._rules, live, features))
            self._metrics.count_shadow(rows, time.perf_counter() - started)
        except Exception as problem:  # a shadow that fails is a finding about the shadow, and nobody's trouble
            self._metrics.count_shadow_failure(rows, problem)
        with self._lock:
            self._waiting_rows -= rows


def _request_fields(plan: FeaturePlan) -> set[str]:
    return {f"{item.name} ({item.dtype})" for item in plan.request}
