"""The reader: request rows in, model inputs out, one Redis round trip for all of them.

Importing this module loads neither Feast, Spark, MLflow, pandas nor Arrow.
"""

from typing import TYPE_CHECKING

from larder.contracts.clock import Clock, system_clock
from larder.contracts.plan import FeaturePlan
from larder.online.packed.keys import whole_keys
from larder.online.reading.compiled import CompiledPlan, FeatureRows, RequestRows
from larder.online.server.connection import connect, connect_async, redis_failures
from larder.online.server.many_keys import multi_get_async, multi_get_views

if TYPE_CHECKING:
    import redis
    import redis.asyncio


class FeatureReader:
    """Reads the features of one plan; safe to share between threads.

    `source` is a client made by `connect`, or an address. `clock` decides which values are too old.
    """

    def __init__(self, plan: FeaturePlan, source: "redis.Redis | str", clock: Clock = system_clock) -> None:
        self.plan = plan
        self._compiled = CompiledPlan(plan)
        self._client = connect(source) if isinstance(source, str) else source
        self._fetch = multi_get_views(self._client)
        self._clock = clock

    def read(self, rows: RequestRows) -> FeatureRows:
        """Values and statuses of `rows`, in the plan's column order.

        Each row names all `plan.entity_keys` (a null key is not found) and `plan.request_fields`. An
        on-demand output has the worst status of its inputs. Raises InvalidDataError with the field's name
        for a row that does not fit, OnlineStoreError when Redis fails, SchemaMismatchError when its
        records are of another schema.
        """
        asked = self._compiled.asked(rows)
        with redis_failures(self._client):
            return self._compiled.answered(asked, self._fetch(asked.keys, asked.first), self._clock())


class AsyncFeatureReader:
    """`FeatureReader` for an event loop; `source` is a client made by `connect_async`, or an address."""

    def __init__(self, plan: FeaturePlan, source: "redis.asyncio.Redis | str", clock: Clock = system_clock) -> None:
        self.plan = plan
        self._compiled = CompiledPlan(plan)
        self._client = connect_async(source) if isinstance(source, str) else source
        self._fetch = multi_get_async(self._client)
        self._clock = clock

    async def read(self, rows: RequestRows) -> FeatureRows:
        """As `FeatureReader.read`."""
        asked = self._compiled.asked(rows)
        keys = whole_keys(asked.keys)
        with redis_failures(self._client):
            records = await self._fetch(keys) if keys else ()
        return self._compiled.answered(asked, records, self._clock())

    async def close(self) -> None:
        """Close the connections; an event loop does not wait for them at its end."""
        await self._client.aclose()
