"""What each step makes, as assets; a step that fails fails its asset, and what stands downstream keeps its state."""

from dagster import AssetExecutionContext, AssetKey, Failure, MaterializeResult, asset

from larder.contracts.settings import load_settings
from schedules.findings import newest_findings
from schedules.steps import STEP, Finished, run


@asset
def silver_tables(context: AssetExecutionContext) -> MaterializeResult[None]:
    """Bronze, silver and label tables hold every raw file."""
    return _made(context, "ingest")


@asset(deps=[silver_tables])
def features(context: AssetExecutionContext) -> MaterializeResult[None]:
    """Gold and the online store are where the clock is."""
    return _made(context, "features")


@asset(deps=[features])
def monitoring(context: AssetExecutionContext) -> MaterializeResult[None]:
    """Findings about the windows that ended. An alarm fails its check and not the asset: the policy needs both."""
    settings = load_settings()
    started = settings.clock()
    done = _finished(context, "monitor")
    if not any(finding.run_at >= started for finding in newest_findings(settings)):
        raise Failure(f"`larder monitor` left no finding and ended with {done.code}: {done.conclusion}")
    return MaterializeResult(metadata={"conclusion": done.conclusion})


@asset(key_prefix="model", deps=[silver_tables, monitoring])
def challenger(context: AssetExecutionContext) -> MaterializeResult[None]:
    """A new model where the policy says that one is due."""
    return _made(context, "retrain")


@asset(key_prefix="model", deps=[AssetKey(["model", "challenger"])])
def champion(context: AssetExecutionContext) -> MaterializeResult[None]:
    """The version that serves: promoted, kept or rolled back as its matured answers say."""
    return _made(context, "release")


ASSETS = {
    "ingest": silver_tables,
    "features": features,
    "monitor": monitoring,
    "retrain": challenger,
    "release": champion,
}
"""Step -> the asset that it makes."""


def _made(context: AssetExecutionContext, step: str) -> MaterializeResult[None]:
    done = _finished(context, step)
    if done.code != 0:
        raise Failure(f"`larder {' '.join(STEP[step].command)}` ended with {done.code}: {done.conclusion}")
    return MaterializeResult(metadata={"conclusion": done.conclusion})


def _finished(context: AssetExecutionContext, step: str) -> Finished:
    done = run(STEP[step])
    context.log.info(done.output)
    return done
