"""Rows that show whether they are right: every feature is a function of the entity and its instants.

A reader knows a record that was mixed from two rows when it sees one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from larder.contracts.plan import Column, Feature, FeaturePlan, ViewPlan
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.online import FeatureReader, Status
from larder.online.contents import read_view

PROJECT, VIEW = "faults", "sales"
START = datetime(2024, 5, 1, tzinfo=UTC)
LONGEST = 50
"""Of the words of varying length in the rows."""

Numbers = NDArray[np.int64]
Stamps = tuple[int, int]
"""Event timestamp and known at of a row, in milliseconds since `START`."""
Seen = Iterator[tuple[int, Stamps | None, bool]]
"""Customer, instants (None: nothing is stored), and whether the whole record speaks of them."""

PLAN = ViewPlan(
    name=VIEW,
    join_keys=(Feature("customer", "int64"),),
    request_keys=("customer",),
    features=(Feature("event", "int64"), Feature("known", "int64"), Feature("word", "string")),
    ttl_seconds=None,
)


def sales(customers: Numbers, events: Numbers, knowns: Numbers) -> pa.Table:
    """Rows of the view; each feature is a function of customer and instants (milliseconds since `START`)."""
    customer, event, known = (pa.array(column, pa.int64()) for column in (customers, events, knowns))
    texts = [column.cast(pa.string()) for column in (customer, event, known)]
    dots = pc.binary_repeat(".", pa.array(np.asarray(events) % LONGEST))
    return pa.table(
        {
            "customer": customer,
            "event": event,
            "known": known,
            "word": pc.binary_join_element_wise(*texts, dots, ":"),
            EVENT_TIMESTAMP: instants(events),
            KNOWN_AT: instants(knowns),
        }
    )


def word(customer: int, stamps: Stamps) -> str:
    """What `sales` says too: differs in content and length from row to row."""
    event, known = stamps
    return f"{customer}:{event}:{known}:{'.' * (event % LONGEST)}"


def instants(milliseconds: Numbers) -> pa.Array:
    return pa.array(np.datetime64(START.replace(tzinfo=None), "us") + milliseconds * np.timedelta64(1, "ms")).cast(
        pa.timestamp("us", tz="UTC")
    )


def newest(batches: Iterable[tuple[Numbers, Numbers, Numbers]]) -> dict[int, Stamps]:
    """The oracle: the greatest row of each customer."""
    found: dict[int, Stamps] = {}
    for columns in batches:
        for customer, *stamps in zip(*(column.tolist() for column in columns), strict=True):
            found[customer] = max((stamps[0], stamps[1]), found.get(customer, (-1, -1)))
    return found


def stored_rows(client: Any, customers: Sequence[int]) -> Seen:
    """What Redis holds, read in bulk."""
    keys = pa.table({"customer": pa.array(customers, pa.int64())})
    for row in read_view(client, PLAN, PROJECT, keys).to_pylist():
        if row["word"] is None:
            yield row["customer"], None, True
        else:
            stamps, header = (row["event"], row["known"]), (row[EVENT_TIMESTAMP], row[KNOWN_AT])
            is_whole = header == tuple(START + timedelta(milliseconds=at) for at in stamps)
            yield row["customer"], stamps, is_whole and row["word"] == word(row["customer"], stamps)


def served_rows(client: Any) -> Callable[[list[int]], Seen]:
    """A function from customers to what is held of them, read as serving does."""
    columns = tuple(Column(feature.name, VIEW, feature.name, feature.dtype) for feature in PLAN.features)
    reader = FeatureReader(FeaturePlan(PROJECT, "sales", (PLAN,), (), (), columns), client)

    def read(customers: list[int]) -> Seen:
        answer = reader.read([{"customer": customer} for customer in customers])
        for customer, (event, known, text), (status, *_) in zip(customers, answer.values, answer.statuses, strict=True):
            is_found = status == Status.PRESENT
            stamps = (event, known) if is_found else None
            yield customer, stamps, not is_found or text == word(customer, (event, known))

    return read
