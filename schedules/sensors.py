"""What need not wait for its hour: new raw files, and a retraining that the policy finds due."""

import hashlib
from collections.abc import Iterator

from dagster import DefaultSensorStatus, RunRequest, SensorEvaluationContext, SkipReason, sensor

from larder.contracts.ingestion import Ingestion
from larder.contracts.settings import Settings, load_settings
from larder.contracts.use_case import declared
from schedules.steps import STEP


@sensor(job_name=STEP["ingest"].job, minimum_interval_seconds=60, default_status=DefaultSensorStatus.RUNNING)
def new_raw_files(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
    """Ingest when a raw file came or changed since the last look."""
    seen = raw_files(load_settings())
    if seen is None or seen == context.cursor:
        yield SkipReason("There is no raw file that was not there before.")
        return
    context.update_cursor(seen)
    yield RunRequest(run_key=seen)


def raw_files(settings: Settings) -> str | None:
    """Names, sizes and times of the raw files as one hash; None when there is none."""
    from pipelines.raw import raw_paths

    paths = raw_paths(settings.raw, declared("pipelines", Ingestion, settings).raw)
    found = sorted((path, path.stat()) for group in paths.values() for path in group)
    listing = "".join(f"{path}\n{status.st_size}\n{status.st_mtime_ns}\n" for path, status in found)
    return hashlib.sha256(listing.encode()).hexdigest() if found else None
