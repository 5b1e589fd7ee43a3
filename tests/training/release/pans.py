"""Releases of the shop's model without training: bundles of plain bytes, answers and labels written by hand."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from larder.contracts.bundle import Manifest, champion_version, shadow_version, write_bundle
from larder.contracts.plan import FeaturePlan
from larder.contracts.settings import Settings
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT, Lake
from larder.ledger import Ledger
from training.release.advance import Step
from training.release.state import release_state

MODEL = "repairs"
BEGIN = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def at(settings: Settings, instant: datetime) -> Settings:
    """The same project at another instant."""
    return replace(settings, replay_at=instant)


def freeze(settings: Settings, *versions: str) -> None:
    """A bundle for each version; its model is never run."""
    plan = FeaturePlan(MODEL, MODEL, views=(), on_demand=(), request_fields=(), columns=())
    for version in versions:
        manifest = Manifest(
            model=MODEL,
            version=version,
            run_id=f"run{version}",
            label="came_back",
            runtime="onnx",
            numbers=(),
            strings=(),
            bounds={},
            threshold=0.5,
            parity=0.0,
            created_at="2024-03-01T00:00:00+00:00",
        )
        write_bundle(settings.bundles, manifest, plan, f"graph {version}".encode())


def write_answers(
    settings: Settings,
    losses: dict[str, float],
    *,
    live: str,
    start: datetime = BEGIN,
    days: float = 3,
    count: int = 400,
    noise: float = 0.3,
    same_outcome: bool = False,
) -> None:
    """`count` requests spread over `days` from `start`, answered by every version of `losses`, and their labels.

    A version's log loss is about what `losses` says; `live` answers to callers. Labels are known an hour later.
    """
    draw = np.random.default_rng(int(start.timestamp()))
    instants = [start + (i + 1) * timedelta(days=days) / count for i in range(count)]
    outcome = np.ones(count, bool) if same_outcome else draw.random(count) < 0.5
    pans = [f"{start:%m%d}-{i}" for i in range(count)]
    lake = Lake(settings.lake)
    for version, loss in losses.items():
        right = np.clip(np.exp(-(loss + draw.normal(0, noise, count))), 0.01, 0.99)
        _log(
            lake, version, "live" if version == live else "shadow", instants, pans, np.where(outcome, right, 1 - right)
        )
    stamp = pa.timestamp("us", "UTC")
    known = [instant + timedelta(hours=1) for instant in instants]
    labels = {"pan": pans, "shop": ["north", "south"] * (count // 2), "came_back": outcome}
    columns = labels | {EVENT_TIMESTAMP: pa.array(instants, stamp), KNOWN_AT: pa.array(known, stamp)}
    write_deltalake(lake.labels("repairs"), pa.table(columns), mode="append")


def standing(settings: Settings, ledger: Ledger) -> tuple[str | None, str | None]:
    """(champion, listener) by the pointers, which must be what the ledger says."""
    state = release_state(ledger, MODEL)
    pointers = champion_version(settings.bundles, MODEL), shadow_version(settings.bundles, MODEL)
    assert pointers == (state.champion, state.listener)
    return pointers


def acts(ledger: Ledger) -> list[str]:
    return [f"{entry.act} {entry.subject.rpartition('/')[2]}" for entry in ledger.entries(subject=MODEL)]


def said(step: Step) -> str:
    return f"{step.act or 'wait'} {step.version}: {step.reason}"


def _log(
    lake: Lake, version: str, traffic: str, instants: Sequence[datetime], pans: Sequence[str], predicted: np.ndarray
) -> None:
    count = len(pans)
    rows = pa.table(
        {
            "answer_id": [f"a{pan}" for pan in pans],
            "row": pa.array([0] * count, pa.int32()),
            "at": pa.array(instants, pa.timestamp("us", "UTC")),
            "model": [MODEL] * count,
            "version": [version] * count,
            "traffic": [traffic] * count,
            "request": pa.StructArray.from_arrays([pa.array(pans)], ["pan"]),
            "probability": predicted,
        }
    )
    write_deltalake(lake.predictions(MODEL), rows, mode="append")
