"""Whether a new model is due, and whether anything refuses it: the declared policy applied to what is known."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from larder.contracts.errors import ConfigurationError
from larder.contracts.monitoring import Finding
from larder.contracts.retraining import POLICIES, Retraining
from training.data.label_counts import LabelCounts
from training.retraining.alarms import judged_windows, open_problems

WEEK = timedelta(days=7)
SHOWN = 10
"""Subjects of triggers that the evidence names."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training that happened, as the ledger has it."""

    version: str
    at: datetime
    rows: int | None
    """Labels that it learned from; None where nothing on record says."""
    newest_label_at: datetime | None
    """Prediction instant of the newest of them."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the policy looks at. Instants are UTC."""

    now: datetime
    champion: str | None
    """The version that serves."""
    champion_training: Training | None
    trainings: tuple[Training, ...]
    """In order; whether or not their models were promoted."""
    labels: LabelCounts
    """What a training now would have."""
    pending: str = ""
    """The release under way, in words; empty when there is none."""
    other_question: str = ""
    """What the champion answers and what is asked, in words, where these differ; else empty."""
    findings: tuple[Finding, ...] = ()
    """Of the last weeks, by run; at least those that the policy looks at."""

    @property
    def last(self) -> Training | None:
        return self.trainings[-1] if self.trainings else None


@dataclass(frozen=True)
class Decision:
    """Train when due and not refused; both may be the case at once."""

    is_due: bool
    reasons: tuple[str, ...]
    """Why a new model is due; why none is where it is not due."""
    refusals: tuple[str, ...]
    """Why nothing is trained although it may be due."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """The numbers that it rests on, for the ledger and for people."""

    @property
    def is_go(self) -> bool:
        return self.is_due and not self.refusals


def decide(policy: Retraining, facts: Facts) -> Decision:
    """Apply `policy`: without a champion a model is always due; else for any of the declared reasons."""
    reasons = tuple(_reasons(policy, facts))
    refusals = tuple(_refusals(policy, facts))
    return Decision(bool(reasons), reasons or (_quiet(policy, facts),), refusals, _evidence(policy, facts))


def asked(policy: Retraining, facts: Facts, *, actor: str) -> Decision:
    """A person wants a model now: always due, and refused by no pause between trainings nor by bad data.

    What would make it impossible still refuses it: a release under way, or too few labels.
    """
    refusals = (*_release_refusals(facts), *_row_refusals(policy, facts))
    return Decision(True, (f"asked by {actor}",), refusals, _evidence(policy, facts))


def named_policy(declared: Retraining, name: str) -> Retraining:
    """`automatic` is the declared policy. The others train the first model by the same rules, and after that never,
    at the first of each month (UTC) or each seven days, whatever monitors find.
    """
    schedules = {"never": None, "monthly": "month", "weekly": WEEK}
    if name == "automatic":
        return declared
    if name not in schedules:
        raise ConfigurationError(f"There is no policy {name!r}; there are {', '.join(POLICIES)}.")
    return replace(declared, every=schedules[name], growth=None, triggers=(), expires_after=None)  # type: ignore[arg-type]


def _reasons(policy: Retraining, facts: Facts) -> Iterator[str]:
    if facts.champion is None:
        yield "no version serves yet"
        return
    yield from _schedule(policy, facts)
    yield from _growth(policy, facts)
    yield from _expiry(policy, facts)
    # What ended before the last training was its reason, or was in its data: a new alarm takes new windows.
    since = facts.last.at if facts.last else None
    for trigger in policy.triggers:
        fired = [found for found in judged_windows(trigger, facts.findings, since=since) if found.has_fired]
        if fired:
            others = f", and so did {len(fired) - 1} other subjects" if len(fired) > 1 else ""
            yield fired[0].sentence + others


def _schedule(policy: Retraining, facts: Facts) -> Iterator[str]:
    if policy.every is None or facts.last is None:
        return
    if policy.every == "month":
        first = facts.now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        if facts.last.at < first:
            yield f"the last training was on {facts.last.at:%Y-%m-%d}, and each month begins with a new one"
    elif facts.now - facts.last.at >= policy.every:
        passed, wanted = in_days(facts.now - facts.last.at), in_days(policy.every)
        yield f"the last training was {passed} ago; the policy asks for one every {wanted}"


def _growth(policy: Retraining, facts: Facts) -> Iterator[str]:
    learned = facts.champion_training
    if policy.growth is None or learned is None or not learned.rows:
        return
    if facts.labels.new / learned.rows >= policy.growth:
        yield f"{_new_labels(facts, learned)}; the policy asks for {policy.growth:.0%}"


def _expiry(policy: Retraining, facts: Facts) -> Iterator[str]:
    learned = facts.champion_training
    if policy.expires_after is None or learned is None:
        return
    # Where the newest label is not on record it was older than the training.
    age = facts.now - (learned.newest_label_at or learned.at)
    if age > policy.expires_after:
        yield (
            f"version {facts.champion} expired: the newest label that it learned from is {in_days(age)} old, "
            f"{in_days(policy.expires_after)} are allowed"
        )


def _refusals(policy: Retraining, facts: Facts) -> Iterator[str]:
    yield from _release_refusals(facts)
    yield from _row_refusals(policy, facts)
    yield from _pauses(policy, facts)
    yield from open_problems(policy.refused_by, facts.findings, lasting=policy.refusal_lasts)


def _release_refusals(facts: Facts) -> Iterator[str]:
    if facts.pending:
        yield f"a release is under way: {facts.pending}"
    if facts.other_question:
        yield (
            f"{facts.other_question}: no shadow can compare the two, and callers will be answered with other fields; "
            "once they are ready, run `larder train` and `larder promote`"
        )


def _row_refusals(policy: Retraining, facts: Facts) -> Iterator[str]:
    labels, kept = facts.labels, in_days(policy.judged_on)
    if labels.learnable < policy.minimum_rows:
        yield (
            f"{labels.learnable:,} labels can be learned from, at least {policy.minimum_rows:,} are needed "
            f"(those of the last {kept} are kept to judge by)"
        )
    elif labels.learnable_values < 2:
        yield f"all {labels.learnable:,} labels to learn from are the same, so there is nothing to tell apart"
    if labels.judged_values < 2:
        seen = f"all {labels.judged:,} labels are the same" if labels.judged else "no label is known"
        yield f"a new model could not be judged: {seen} of the last {kept}"


def _pauses(policy: Retraining, facts: Facts) -> Iterator[str]:
    if facts.last is None:
        return
    passed = facts.now - facts.last.at
    if passed < policy.cool_down:
        yield f"the last training was {in_days(passed)} ago, at least {in_days(policy.cool_down)} must lie between two"
    recent = sum(facts.now - training.at < WEEK for training in facts.trainings)
    if recent >= policy.most_per_week:
        yield f"{recent} trainings in the last seven days, at most {policy.most_per_week} are allowed"


def _quiet(policy: Retraining, facts: Facts) -> str:
    learned = facts.champion_training
    if learned is None or not learned.rows:
        return "nothing asks for a new model, as far as is on record of the champion's training"
    asked_for = "" if policy.growth is None else f" (the policy asks for {policy.growth:.0%})"
    return f"nothing asks for a new model: {_new_labels(facts, learned)}{asked_for}"


def _new_labels(facts: Facts, learned: Training) -> str:
    new, rows = facts.labels.new, learned.rows or 1
    return f"{new:,} labels are new, {new / rows:.0%} of the {rows:,} that version {learned.version} learned from"


def _evidence(policy: Retraining, facts: Facts) -> dict[str, Any]:
    """Plain values, as the ledger stores them."""
    last, champion = facts.last, facts.champion_training
    return {
        "now": facts.now.isoformat(),
        "champion": facts.champion,
        "champion_newest_label_at": _text(champion.newest_label_at if champion else None),
        "last_training": last.version if last else None,
        "last_training_at": _text(last.at if last else None),
        "last_training_rows": last.rows if last else None,
        "learnable_labels": facts.labels.learnable,
        "new_labels": facts.labels.new,
        "judged_labels": facts.labels.judged,
        "trainings_in_a_week": sum(facts.now - training.at < WEEK for training in facts.trainings),
        "release_under_way": facts.pending or None,
        "findings": len(facts.findings),
        "triggers": [
            found.sentence
            for trigger in policy.triggers
            for found in judged_windows(trigger, facts.findings, since=last.at if last else None)
            if found.alarms
        ][:SHOWN],
    }


def in_days(length: timedelta) -> str:
    """`1 day`, `0.25 days`."""
    days = length / timedelta(days=1)
    return "1 day" if days == 1 else f"{days:.3g} days"


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
