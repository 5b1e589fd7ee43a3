"""Drift of each model input and of the prediction from the baseline saved with the model.

A distance alarms when it exceeds, by its limit and beyond what chance explains, what windows of training had, the
window is significantly different after Benjamini and Hochberg's control of false discoveries over everything watched,
and the model feels it: the answers move. Each alone would cry wolf: the distance in small windows, the test in large
ones, both every spring, when it gets warmer and the model hardly cares.
"""

from collections.abc import Iterator, Mapping

from scipy.stats import false_discovery_control

from larder.contracts.monitoring import PREDICTION, Baseline, Finding, Monitoring
from larder.contracts.objective import CLASSIFICATION, PREDICTED
from larder.distances import Distances, as_float32, number_distances, string_counts, string_distances
from monitoring.monitors.answers import Answers, field
from monitoring.monitors.window import Window, verdict_of


def drift(window: Window, answers: Answers, baseline: Baseline, limits: Monitoring) -> list[Finding]:
    if answers.count < limits.minimum_rows:
        evidence = f"{answers.count:,} answers; drift is judged from {limits.minimum_rows:,} on."
        return [window.unknown("drift", answers.model.plan.service, "rows", evidence)]
    distances = dict(_distances(answers, baseline, limits))
    effect = _allowed_effect(answers, baseline, limits)
    adjusted = false_discovery_control([found.p_value for found in distances.values()])
    return [
        finding
        for (name, found), p_value in zip(distances.items(), adjusted, strict=True)
        for finding in _findings(window, name, found, float(p_value), baseline.usual.get(name, {}), effect, limits)
    ]


def _distances(answers: Answers, baseline: Baseline, limits: Monitoring) -> Iterator[tuple[str, Distances]]:
    for column in answers.model.plan.columns:
        name = column.name
        dependence = baseline.dependence.get(name, ())
        if name in baseline.numbers:
            values = as_float32(field(answers.rows, "features", name))
            yield name, number_distances(values, baseline.numbers[name], dependence)
        elif name in baseline.strings:
            counts = string_counts(field(answers.rows, "features", name))
            nulls = answers.count - sum(counts.values())
            yield name, string_distances(counts, nulls, baseline.strings[name], dependence)
    own, predicted = answers.own, answers.rows[PREDICTED[answers.model.task]]
    if len(own) >= limits.minimum_rows:  # right after a promotion the new version has answered too little
        yield PREDICTION, number_distances(as_float32(predicted.take(own)), baseline.prediction)


def _allowed_effect(answers: Answers, baseline: Baseline, limits: Monitoring) -> float:
    """In the unit of the answers. Where yes is rare all answers are small: of 1 % none could move by 2 points."""
    if answers.model.task == CLASSIFICATION:
        usual = baseline.prediction.mean
        rarer = 0.5 if usual is None else min(usual, 1.0 - usual)
        return min(limits.effect, limits.effect_share * rarer)
    return limits.number_effect * (baseline.prediction.deviation or 0.0)


def _findings(
    window: Window,
    name: str,
    found: Distances,
    p_value: float,
    usual: Mapping[str, float],
    effect: float,
    limits: Monitoring,
) -> Iterator[Finding]:
    """`usual`: what windows of training had at most; the limits, `effect` among them, begin there."""
    is_significant = p_value <= limits.false_alarms
    chance = f"{'significant' if is_significant else 'not significant'}, p = {p_value:.2g}"
    allowed_effect = usual.get("effect", 0.0) + effect
    is_felt = found.effect is None or found.effect > allowed_effect
    judged = {
        "psi": (found.psi, limits.psi, "Population stability index"),
        "jensen_shannon": (found.jensen_shannon, limits.jensen_shannon, "Jensen-Shannon distance"),
        "wasserstein": (found.wasserstein, limits.wasserstein, "Wasserstein distance in standard deviations"),
    }
    for metric, (value, allowed, title) in judged.items():
        if value is not None:
            before = usual.get(metric, 0.0)
            verdict = verdict_of(value > before + allowed and is_significant and is_felt)
            evidence = (
                f"{title} {value:.3f} beyond noise between {found.rows:,} answers and training, whose own windows had "
                f"up to {before:.3f}; {chance}."
            )
            yield window.judged("drift", name, metric, value, before + allowed, verdict, evidence)
    if (gap := found.kolmogorov_smirnov) is not None:
        evidence = (
            f"The values of {found.rows:,} answers and of training are distributed at most {gap:.3f} apart; {chance}."
        )
        yield window.reported("drift", name, "kolmogorov_smirnov", gap, evidence)
    if found.effect is not None:
        evidence = (
            f"The answers move by {found.effect:.4f} because of this input; "
            f"{'more' if is_felt else 'not more'} than the {allowed_effect:.4f} from which drift of it alarms."
        )
        yield window.reported("drift", name, "effect", found.effect, evidence)
