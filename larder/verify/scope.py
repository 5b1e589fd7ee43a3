"""How much of each view is compared: everything, or a random sample."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from larder.contracts.clock import Clock
from larder.contracts.errors import LarderError, OnlineStoreError
from larder.offline.retrieval.reading import pinned
from larder.verify.counts import Tally, ViewComparison
from larder.verify.history_side import entity_keys
from larder.verify.proof import Checked, checked_entities
from larder.verify.strays import checked_view
from larder.verify.views import VerifiedView, check_history

if TYPE_CHECKING:
    import redis

Scope = Callable[[VerifiedView], Iterator[Checked]]
"""The parts of a view that are compared."""

Seen = Callable[[VerifiedView, Checked], object]
"""Called with each part that was compared."""


def everything(client: "redis.Redis", *, clock: Clock) -> Scope:
    """All entities that the history names, and those that only Redis has; checksums of the table first."""

    def parts(view: VerifiedView) -> Iterator[Checked]:
        check_history(view.history)
        return checked_view(view, client, clock=clock)

    return parts


def sample(client: "redis.Redis", *, clock: Clock, entities: int, seed: int) -> Scope:
    """So many random entities of the history, the same ones for the same seed and table version."""

    def parts(view: VerifiedView) -> Iterator[Checked]:
        chosen = _sampled(entity_keys(pinned(view.history)), entities, seed=seed)
        return checked_entities(view, client, chosen, clock=clock)

    return parts


def compared(views: Sequence[VerifiedView], scope: Scope, seen: Seen) -> Iterator[ViewComparison]:
    """One comparison per view; one whose table cannot be read, or does not fit its checksums, says so in its `error`.

    Raises OnlineStoreError when Redis fails, for that concerns all views.
    """
    for view in views:
        names = [feature.name for feature in view.plan.features]
        tally = Tally(view.name, names)
        try:
            for checked in scope(view):
                tally.add(checked.part)
                seen(view, checked)
        except OnlineStoreError:
            raise
        except LarderError as problem:
            yield replace(Tally(view.name, names).comparison, error=problem.message)
        else:
            yield tally.comparison


def _sampled(entities: pa.Table, number: int, *, seed: int) -> pa.Table:
    frame = pl.DataFrame(pl.from_arrow(entities))
    if frame.height <= number:
        return entities
    return frame.sample(number, seed=seed).to_arrow().cast(entities.schema)
