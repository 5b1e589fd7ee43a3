"""The way to the online store: a hung or absent Redis delays one request, not every request."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from larder.contracts.clock import Clock
from larder.contracts.errors import DamagedRecordError, LarderError, OnlineStoreError
from larder.contracts.plan import FeaturePlan
from larder.contracts.settings import Settings
from larder.online.packed.record import schema_mismatch
from larder.online.position import read_position
from larder.online.reading.compiled import FeatureRows
from larder.online.reading.reader import FeatureReader
from larder.online.server import embedded
from larder.online.server.connection import connect, redis_failures
from larder.online.server.project import project_address

SECONDS_BETWEEN_PROBES = 0.25


class OnlineStore:
    """Reads until a read fails; from then on refuses at once, until a probe beside the requests succeeds.

    Reads run on the event loop, since handing one to a thread costs as much as the read. A time-out there holds up
    all others, so it may happen once per outage and not once per request.
    """

    def __init__(self, address: Callable[[], str], clock: Clock) -> None:
        """`address` is asked again after an outage: an embedded Redis may come back at another port."""
        self._address = address
        self.connected_to = address()
        self._client = connect(self.connected_to)
        self._clock = clock
        self.problem: str | None = None
        """Why reads are refused at present; None while they are not."""

    def reader(self, plan: FeaturePlan) -> FeatureReader:
        return FeatureReader(plan, self._client, self._clock)

    def read(self, reader: FeatureReader, rows: Sequence[Mapping[str, Any]]) -> FeatureRows:
        """Features of `rows`. Raises OnlineStoreError when Redis does not answer, DamagedRecordError when it does but
        what it holds of a row cannot be read, InvalidDataError for a bad row."""
        if self.problem is not None:
            raise OnlineStoreError(self.problem)
        try:
            return reader.read(rows)
        except DamagedRecordError:
            raise  # other entities are as well as before
        except OnlineStoreError as problem:
            self.problem = str(problem)
            raise

    def read_beside(self, reader: FeatureReader, rows: Sequence[Mapping[str, Any]]) -> FeatureRows:
        """As `read`, from another thread than the requests' and for nobody who waits: its failure refuses no read."""
        if self.problem is not None:
            raise OnlineStoreError(self.problem)
        return reader.read(rows)

    def check(self, plan: FeaturePlan) -> None:
        """Raises OnlineStoreError when Redis does not answer or does not hold what `plan` reads, SchemaMismatchError
        when it holds a view of it with other fields; blocks."""
        reached = {view: read_position(self._client, plan.project, view.name) for view in plan.views}
        if empty := [view.name for view, position in reached.items() if position is None]:
            raise OnlineStoreError(
                f"Redis holds nothing of {', '.join(dict.fromkeys(empty))}: never materialized, emptied since, or "
                "defined no more. Run `larder features`; where the definitions have no such view any more, "
                "`larder train` and `larder promote`, or define it again."
            )
        for view, position in reached.items():
            # A position of an older version of the package names no schema.
            if position and position.fingerprint not in ("", view.fingerprint.hex()):
                raise schema_mismatch(view, stored=position.fingerprint)

    def close(self) -> None:
        self._client.close()

    async def recover(self, *, on_new_address: Callable[[], None]) -> None:
        """Probe for ever while reads are refused; a task of the application."""
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_PROBES)
            if self.problem is not None:
                before = self.connected_to
                problem = await asyncio.to_thread(self._probed)
                if self.connected_to != before:
                    on_new_address()
                self.problem = problem

    def _probed(self) -> str | None:
        """The problem that Redis has now, or None."""
        try:
            address = self._address()
            if address != self.connected_to:
                self._client.close()
                self._client, self.connected_to = connect(address), address
            with redis_failures(self._client):
                self._client.ping()
        except LarderError as problem:
            return str(problem)
        return None


def online_store(settings: Settings) -> OnlineStore:
    """The project's online store; starts an embedded Redis, but never again while serving: `larder down` counts."""
    started = project_address(settings)
    is_embedded = started == embedded.address(settings)

    def address() -> str:
        return (embedded.address(settings) if is_embedded else None) or started

    return OnlineStore(address, settings.clock)


def require_online_store(settings: Settings) -> None:
    """Raises OnlineStoreError when Redis does not answer: a start is the time to say so."""
    client = connect(project_address(settings))
    with closing(client), redis_failures(client):
        client.ping()
