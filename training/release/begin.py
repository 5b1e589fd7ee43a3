"""A challenger's release begins: gates, bundle, then shadow, or service straight away."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larder.contracts.bundle import read_manifest
from larder.contracts.errors import BusyError, GateError, SchemaMismatchError
from larder.contracts.objective import Objective
from larder.contracts.question import other_question
from larder.contracts.retraining import Release
from larder.contracts.settings import Settings
from larder.ledger import Act, Entry, Ledger
from training.gates import GateResult, require_passed
from training.models.export import Export
from training.models.tracking import Version
from training.promotion import Candidate, frozen
from training.release.acts import Releases, releasing
from training.release.approval import require_approved
from training.release.settle import bundle_record
from training.retraining.policy import in_days

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class Promotion:
    version: Version
    bundle: Path
    export: Export
    gates: list[GateResult]


def begin_shadow(
    store: "FeatureStore",
    settings: Settings,
    objective: Objective,
    policy: Release,
    chosen: Candidate,
    *,
    ledger: Ledger,
) -> Entry:
    """Release the candidate into shadow, or, while nothing serves yet, straight to service; the entry that says so.

    Cut off anywhere, the same call again completes it. Raises GateError, recorded as a rejection, when a gate fails,
    BusyError while another release is under way, ApprovalError where the first version has to be approved,
    SchemaMismatchError when features changed since training.
    """
    version = chosen.challenger.version
    with releasing(settings, version.model, ledger) as releases:
        state = releases.state
        if version.number in (state.shadow, state.champion):
            return ledger.entries(subject=f"{version.model}/{version.number}", acts=(Act.SHADOW, Act.PROMOTION))[-1]
        _require_free(releases)
        _require_gates(releases, chosen)
        if state.champion is None:
            require_approved(ledger, policy, model=version.model, version=version.number)
        bundle = frozen(store, settings, objective, chosen)
        inputs, now = _inputs(chosen, bundle), settings.clock()
        if state.champion is None:
            return releases.promote(
                version.number, at=now, reason="the first version that passed its gates", inputs=inputs
            )
        if difference := other_question(read_manifest(settings.bundles / version.model / state.champion), objective):
            raise SchemaMismatchError(
                f"Version {version.number} cannot answer beside the champion, for {difference}. Run `larder promote` "
                "once callers are ready for other fields."
            )
        unseen = f"answers unseen beside version {state.champion} for {in_days(policy.shadow)} at least"
        return releases.record(Act.SHADOW, version.number, at=now, reason=f"passed its gates; {unseen}", inputs=inputs)


def promote(
    store: "FeatureStore",
    settings: Settings,
    objective: Objective,
    policy: Release,
    chosen: Candidate,
    *,
    ledger: Ledger,
    reason: str = "promoted by hand",
) -> Promotion:
    """Make the candidate the champion at once, without shadow or watch; a release that is under way ends.

    Cut off anywhere, the same call again completes it. Raises GateError, recorded as a rejection, when a gate fails,
    ApprovalError while persons have to approve it, SchemaMismatchError when features changed since training.
    """
    version = chosen.challenger.version
    with releasing(settings, version.model, ledger) as releases:
        _require_gates(releases, chosen)
        require_approved(ledger, policy, model=version.model, version=version.number)
        bundle = frozen(store, settings, objective, chosen)
        if releases.state.champion != version.number:
            releases.promote(version.number, at=settings.clock(), reason=reason, inputs=_inputs(chosen, bundle))
    return Promotion(version, bundle, chosen.export, chosen.gates)


def _require_free(releases: Releases) -> None:
    state = releases.state
    if state.pending:
        if state.shadow:
            under_way, no = f"version {state.shadow} is in shadow", f"`larder models reject {state.shadow}`"
        else:
            under_way, no = f"version {state.champion} is watched", "`larder models rollback`"
        raise BusyError(
            f"One release at a time: {under_way}. Run `larder release` once more labels are known, or decide by hand "
            f"with `larder promote` or {no}."
        )


def _require_gates(releases: Releases, chosen: Candidate) -> None:
    version = chosen.challenger.version
    try:
        require_passed(chosen.gates, model=f"{version.model} version {version.number}")
    except GateError:
        failed = [gate.name for gate in chosen.gates if not gate.passed]
        releases.record(
            Act.REJECTION,
            version.number,
            at=releases.settings.clock(),
            reason=f"failed its gates: {'; '.join(failed)}",
            inputs={"run_id": version.run_id, "gates": [asdict(gate) for gate in chosen.gates]},
        )
        raise


def _inputs(chosen: Candidate, bundle: Path) -> dict[str, Any]:
    """What the decision rests on, for the ledger."""
    return bundle_record(read_manifest(bundle)) | {
        "data_hash": chosen.challenger.description.lineage.data_hash,
        "gates": [asdict(gate) for gate in chosen.gates],
    }
