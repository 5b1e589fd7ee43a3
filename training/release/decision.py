"""When a challenger is promoted or rejected, and a promotion confirmed or rolled back: one rule for both.

A version is worse when the whole interval of its loss minus the other's lies above 0, over five days at least. A
challenger is good enough when it is not worse and its mean is at most the tolerance above: it has learned from more and
newer labels, so in doubt it is given the chance, under watch. A promoted version must be shown worse to be rolled back.
"""

from dataclasses import dataclass
from datetime import datetime

from larder.contracts.objective import TITLES
from larder.contracts.retraining import Release
from larder.ledger import Act
from training.release.comparison import FEW_DAYS, Comparison
from training.release.state import Shadow, Watch
from training.retraining.policy import in_days

LOG_LOSS_TOLERATED = 0.003
SHARE_TOLERATED = 0.01
"""Of the older version's loss, where that has the unit of the label."""


@dataclass(frozen=True)
class Decision:
    act: Act | None
    """None: wait."""
    reason: str


def after_shadow(shadow: Shadow, policy: Release, found: Comparison, now: datetime) -> Decision:
    """Whether the challenger is promoted, rejected, or answers unseen for longer."""
    words = described(found, policy, newer=shadow.challenger, older=shadow.champion)
    lasted = now - shadow.since
    if lasted < policy.shadow:
        return Decision(None, f"in shadow until {shadow.since + policy.shadow:%Y-%m-%d %H:%M} UTC; {words}")
    if is_worse(found):
        return Decision(Act.REJECTION, f"worse: {words}")
    if is_good_enough(found, policy):
        return Decision(Act.PROMOTION, f"not worse: {words}")
    if lasted >= policy.patience:
        return Decision(Act.REJECTION, f"undecided after {in_days(policy.patience)}: {words}")
    return Decision(None, f"undecided: {words}")


def after_promotion(watch: Watch, policy: Release, found: Comparison, now: datetime) -> Decision:
    """Whether the watched champion is rolled back, confirmed, or watched for longer."""
    words = described(found, policy, newer=watch.champion, older=watch.former)
    if is_worse(found):
        return Decision(Act.ROLLBACK, f"worse than the former champion: {words}")
    if now >= watch.until:
        return Decision(Act.CONFIRMATION, f"the watch ended without a sign that it is worse: {words}")
    return Decision(None, f"watched until {watch.until:%Y-%m-%d %H:%M} UTC; {words}")


def is_worse(found: Comparison) -> bool:
    return found.difference is not None and found.days >= FEW_DAYS and found.difference.low > 0


def is_good_enough(found: Comparison, policy: Release) -> bool:
    return found.difference is not None and not is_worse(found) and found.difference.mean <= tolerated(found, policy)


def tolerated(found: Comparison, policy: Release) -> float:
    """By how much the newer version may lose more, in the unit of the loss."""
    if policy.tolerance is not None:
        return policy.tolerance
    return LOG_LOSS_TOLERATED if found.loss == "log_loss" else SHARE_TOLERATED * found.older[found.loss]


def described(found: Comparison, policy: Release, *, newer: str, older: str) -> str:
    """The comparison in one sentence."""
    if found.difference is None:
        return f"cannot tell version {newer} from version {older}, because {found.unjudged}"
    gap, limit = found.difference, f"{tolerated(found, policy):.4f} is tolerated"
    said = f"{TITLES[found.loss].lower()} of version {newer} minus that of {older} is {gap.mean:+.4f}"
    if found.days == 1:
        return f"{said} ({limit}), on {found.rows:,} requests of one day, which tells nothing about chance"
    interval = f"{policy.confidence:.0%} interval {gap.low:+.4f} to {gap.high:+.4f}"
    return f"{said}, {interval} ({limit}), on {found.rows:,} requests of {found.days} days"
