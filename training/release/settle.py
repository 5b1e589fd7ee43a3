"""The ledger is the truth; the bundles' pointers and MLflow's alias follow it, also after a kill in between."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from larder.contracts.bundle import (
    Manifest,
    champion_version,
    read_manifest,
    set_champion,
    set_shadow,
    shadow_version,
)
from larder.contracts.errors import InvalidDataError, LarderError, MissingTableError
from larder.contracts.settings import Settings
from larder.ledger import Act, Ledger
from larder.ledger.anchors import ANCHOR_TAG
from larder.lock import only_one
from training.release.registry import Mark, champion_mark, mark_champion
from training.release.state import ADOPTED, FORMER, WATCH_UNTIL, ReleaseState, release_state


def settle(settings: Settings, model: str, ledger: Ledger) -> list[str]:
    """Bring pointers and alias into agreement with the ledger; what was changed, in words, nothing when all agreed.

    Commands that touch models call it first: it completes an act that was cut off after it was recorded. A champion
    from before there was a ledger gets its entry.
    Raises InvalidDataError when something differs and the ledger was edited, BusyError while a release is acting.
    """
    with one_release(settings, model):
        return agree(settings, model, ledger)


@contextmanager
def one_release(settings: Settings, model: str) -> Iterator[None]:
    """Keeps acts on one model apart. Raises BusyError while another process acts."""
    with only_one(settings.state / f"release-{model}.lock", f"release of {model!r}"):
        yield


def agree(settings: Settings, model: str, ledger: Ledger) -> list[str]:
    """As `settle`, for those who hold the lock."""
    mark = champion_mark(settings, model)
    state = release_state(ledger, model)
    if mark is not None and mark.entry not in (None, state.entry):
        _require_known(mark, ledger, model)
    done = []
    if state.champion is None and _adopt(settings, model, ledger):
        state = release_state(ledger, model)
        done.append(f"version {state.champion} was adopted into the ledger")
    repairs = list(_repairs(settings, model, state, mark, ledger))
    if repairs:
        require_intact(ledger)
    for what, repair in repairs:
        repair()
        done.append(what)
    return done


def require_intact(ledger: Ledger) -> None:
    """Raises InvalidDataError when the ledger was edited: nothing is decided on what may be forged."""
    if problem := ledger.problem():
        raise InvalidDataError(
            f"{problem} Nothing was promoted or rolled back. Restore {ledger.path} from a copy, then try again."
        )


def bundle_record(manifest: Manifest) -> dict[str, Any]:
    """What an entry of the ledger keeps of a bundle."""
    return {"run_id": manifest.run_id, "bundle": manifest.hashes}


def _repairs(
    settings: Settings, model: str, state: ReleaseState, mark: Mark | None, ledger: Ledger
) -> Iterator[tuple[str, Callable[[], None]]]:
    """What differs from the ledger, in the order in which it is put right: serving first."""
    bundles, champion, entry = settings.bundles, state.champion, state.entry
    if champion is not None and champion_version(bundles, model) != champion:
        yield f"serving points at version {champion}", partial(_serve, settings, model, champion, ledger)
    if mark is not None and champion is not None and entry is not None and mark != Mark(champion, entry):
        marking = partial(mark_champion, settings, model, version=champion, entry=entry)
        yield f"MLflow's champion is version {champion}", marking
    if shadow_version(bundles, model) != state.listener:
        what = f"version {state.listener} answers unseen" if state.listener else "no version answers unseen"
        yield what, partial(set_shadow, bundles, model, state.listener)


def _serve(settings: Settings, model: str, version: str, ledger: Ledger) -> None:
    bundle = settings.bundles / model / version
    try:
        read_manifest(bundle)
    except MissingTableError:
        raise MissingTableError(
            f"By {ledger.path} version {version} of {model!r} serves, but its bundle {bundle} is gone. Restore the "
            "folder from a copy (docs/data_versions.md). Where there is none, move the files "
            f"{ledger.path.with_suffix('.*')} away and remove the tag {ANCHOR_TAG} from the registered model: the next "
            "promotion begins anew."
        ) from None
    set_champion(settings.bundles, model, version)


def _adopt(settings: Settings, model: str, ledger: Ledger) -> bool:
    version = champion_version(settings.bundles, model)
    if version is None:
        return False
    try:
        manifest = read_manifest(settings.bundles / model / version)
    except LarderError:
        return False  # a pointer to nothing is no promotion; the next one replaces it
    require_intact(ledger)
    ledger.append(
        Act.PROMOTION,
        f"{model}/{manifest.version}",
        at=settings.clock(),
        reason=ADOPTED,
        inputs=bundle_record(manifest),
        outcome={FORMER: None, WATCH_UNTIL: None},
    )
    return True


def _require_known(mark: Mark, ledger: Ledger, model: str) -> None:
    """An edit that rebuilt the whole chain shows here: MLflow remembers an entry that is gone."""
    if all(entry.hash != mark.entry for entry in ledger.entries(subject=model)):
        raise InvalidDataError(
            f"MLflow names entry {mark.entry} as what made version {mark.version} of {model!r} the champion, but "
            f"{ledger.path} has no such entry: it was lost or rebuilt, or belongs to another project. Restore it; "
            f"or, to begin a new ledger on purpose, remove the tag {ANCHOR_TAG} from the registered model."
        )
