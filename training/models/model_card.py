"""A model's card: what it is for, what it learned from, how good it is and for whom, and where it stands.

The sections are those of Mitchell et al., Model Cards for Model Reporting (2019), https://doi.org/10.1145/3287560.3287596.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from larder.contracts.errors import SchemaMismatchError
from larder.contracts.objective import TITLES, Card, ErrorKpi, Kpi, NumberLabel, Objective
from larder.evaluation import Evaluation
from larder.ledger import Act, Entry
from larder.ledger.service import SERVING_ACTS, Service, services
from training.gates import GateResult, gate_results
from training.models.tracking import Challenger
from training.promotion import is_judged_for

UNSAID = "Not declared. Say it in the training file: `card=Card(intended_use=...)`."

Table = Mapping[str, Sequence[Any]]
"""Column -> cells."""


@dataclass(frozen=True)
class Section:
    title: str
    """A slash makes it part of the section before the slash."""
    content: str | Table


def model_card(challenger: Challenger, objective: Objective, entries: Sequence[Entry]) -> str:
    """Markdown. `entries` are those of the ledger about the model, all versions.

    Raises SchemaMismatchError for a version that answers another question than the training file asks.
    """
    if not is_judged_for(challenger, objective):
        raise SchemaMismatchError(
            f"{challenger.version.model} version {challenger.version.number} was judged by "
            f"{', '.join(challenger.description.evaluation.metrics)} on {challenger.description.label!r}; the training "
            f"file asks for {objective.task} on {objective.label.column!r} now, which would say wrong things of it. "
            "Name another version, or write the card with the training file of that time."
        )
    from skops.card import Card as Document

    document = Document(challenger.pipeline, model_diagram=False, template=None)
    for section in sections(challenger, objective, entries):
        if isinstance(section.content, str):
            document.add(**{section.title: section.content})
        else:
            document.add_table(**{section.title: _escaped(section.content)})
    version = challenger.version
    return f"# Model card: {version.model} version {version.number}\n\n{objective.question}\n{document.render()}"


def sections(challenger: Challenger, objective: Objective, entries: Sequence[Entry]) -> Iterator[Section]:
    """In the card's order; figures are those logged when the version was judged."""
    judged, said = challenger.description.evaluation, objective.card or Card(intended_use="")
    own = [entry for entry in entries if entry.subject == f"{challenger.version.model}/{challenger.version.number}"]
    yield Section("Model details", _details(challenger, objective, said))
    yield Section("Intended use", said.intended_use or UNSAID)
    yield Section("Intended use/Out of scope", said.out_of_scope or UNSAID)
    yield Section("Intended use/What it answers", _answers(objective, challenger.description.costs))
    yield Section("Training data", _training_data(challenger))
    yield Section("Training data/Tables", _tables(challenger))
    yield Section(
        "Evaluation", f"On {judged.rows:,} rows{_judged_span(challenger)} that lie after everything it learned from."
    )
    yield Section("Evaluation/Metrics", _metrics(objective, judged))
    yield Section("Evaluation/Gates", _gates(_decided(challenger, objective, own)))
    for slice_name in dict.fromkeys(score.slice for score in judged.slices):
        yield Section(f"Evaluation/By {slice_name}", _slice(objective, judged, slice_name))
    yield Section("Evaluation/Fairness", _fairness(objective, judged))
    yield Section("Service", _service(own, services(entries)))
    yield Section("Ethical considerations", said.considerations or UNSAID)


def _details(challenger: Challenger, objective: Objective, said: Card) -> Table:
    lineage, version = challenger.description.lineage, challenger.version
    steps = " → ".join(type(step).__name__ for _, step in challenger.pipeline.steps)
    facts = {
        "label": f"{objective.label.table}.{challenger.description.label}",
        "task": objective.task,
        "pipeline": steps,
        "inputs": f"{len(challenger.description.columns.names)}, by the feature service {lineage.service}",
        "MLflow run": version.run_id,
        "commit": lineage.commit or "none: trained outside a repository",
        "owner": said.owner or UNSAID,
    }
    return {"what": list(facts), "": list(facts.values())}


def _answers(objective: Objective, judged_by: Mapping[str, float]) -> str:
    kpi = objective.with_costs(judged_by).kpi
    match kpi:
        case Kpi(threshold=threshold):
            yes = "the label is true" if isinstance(objective.label, NumberLabel) else objective.label.positive
            said = f"The probability that {yes}. From {threshold:.3f} on acting costs less than not acting: "
            return (
                f"{said}{kpi.false_alarm:g} for a false alarm, {kpi.miss:g} for a miss ({kpi.unit}). {kpi.description}."
            )
        case ErrorKpi():
            unit = objective.label.unit if isinstance(objective.label, NumberLabel) else ""
            said = f"A number, in {unit}. Each unit too low costs {kpi.too_low:g}, each too high {kpi.too_high:g} "
            return f"{said}({kpi.unit}). {kpi.description}."


def _training_data(challenger: Challenger) -> str:
    lineage, labels = challenger.description.lineage, challenger.description.lineage.labels
    usual = challenger.description.baseline
    rows = "" if usual is None else f"{usual.rows:,} rows. "
    if labels is None:
        return f"{rows}SHA-256 of all rows: `{lineage.data_hash}`."
    since = f"from {labels.train_from:%Y-%m-%d} on and " if labels.train_from else ""
    until, known = (f"{at:%Y-%m-%d %H:%M} {at:%Z}" for at in (labels.train_until or labels.split_at, labels.split_at))
    return (
        f"{rows}Labels of `{labels.table}` {since}before {until} whose outcome was known before {known}; "
        f"each with its features as they were known at its instant. SHA-256 of all rows: `{lineage.data_hash}`; "
        f"`larder training-set rebuild {challenger.version.model}/{challenger.version.number}` builds them again."
    )


def _judged_span(challenger: Challenger) -> str:
    labels = challenger.description.lineage.labels
    return (
        ""
        if labels is None
        else f", from {labels.split_at:%Y-%m-%d %H:%M %Z} until {labels.test_until:%Y-%m-%d %H:%M %Z},"
    )


def _tables(challenger: Challenger) -> Table:
    tables = sorted(challenger.description.lineage.tables.items())
    return {"table": [name for name, _ in tables], "Delta version": [version for _, version in tables]}


def _metrics(objective: Objective, judged: Evaluation) -> Table:
    others = {name: metrics for name, metrics in judged.references.items() if metrics is not None}
    shown = objective.shown_metrics
    names = [f"{objective.kpi.name}, {objective.kpi.unit}" if name == "kpi" else TITLES[name] for name in shown]
    columns = {"this model": judged.metrics} | others
    return {"metric": names} | {
        name: [_number(metrics.get(metric)) for metric in shown] for name, metrics in columns.items()
    }


def _decided(challenger: Challenger, objective: Objective, own: Sequence[Entry]) -> list[GateResult]:
    """The gates as they were last checked, else as the training file has them now."""
    checked = [found for entry in own if (found := entry.inputs.get("gates") or entry.outcome.get("gates"))]
    if checked:
        return [GateResult(**gate) for gate in checked[-1]]
    return gate_results(objective.gates, challenger.description.evaluation)


def _gates(gates: Sequence[GateResult]) -> Table:
    return {
        "gate": [gate.name for gate in gates],
        "value": [_number(gate.value) for gate in gates],
        "limit": [_limit(gate) for gate in gates],
        "passed": ["yes" if gate.passed else "no" for gate in gates],
    }


def _limit(gate: GateResult) -> str:
    if gate.limit is None:
        return "nothing to compare" + (f": {gate.evidence}" if gate.evidence else "")
    return f"{gate.direction} {_number(gate.limit)}"


def _slice(objective: Objective, judged: Evaluation, name: str) -> Table:
    scores = [score for score in judged.slices if score.slice == name]
    shown = [metric for metric in objective.shown_metrics if any(metric in score.metrics for score in scores)]
    return {name: [score.value for score in scores], "rows": [f"{score.rows:,}" for score in scores]} | {
        TITLES[metric]: [_number(score.metrics.get(metric)) for score in scores] for metric in shown
    }


def _fairness(objective: Objective, judged: Evaluation) -> str | Table:
    """Of the slices declared as protected."""
    if not any(part.is_protected for part in objective.slices):
        return "No slice is declared as protected (`Slice(..., is_protected=True)`), so nothing was compared."
    found = [(name, metric, value) for name, values in judged.fairness.items() for metric, value in values.items()]
    if not found:
        return "No two values of a protected slice had enough rows to be compared."
    return {
        "between the values of": [name for name, _, _ in found],
        "measure": [TITLES[metric] for _, metric, _ in found],
        "value": [_number(value) for _, _, value in found],
    }


def _service(own: Sequence[Entry], served: Sequence[Service]) -> str | Table:
    """What the ledger says of this version."""
    told = [entry for entry in own if entry.act is not Act.EVALUATION]
    if not told:
        return "Nothing is on record of this version."
    ends = {(item.version, item.since): item.until for item in served}
    until = [_until(ends, entry) for entry in told]
    return {
        "at, UTC": [f"{entry.at:%Y-%m-%d %H:%M}" for entry in told],
        "what": [str(entry.act) for entry in told],
        "served until": until,
        "who": [entry.actor for entry in told],
        "why": [entry.reason for entry in told],
    }


def _until(ends: Mapping[tuple[str, datetime], datetime | None], entry: Entry) -> str:
    """Empty for an act that made nothing serve."""
    key = entry.version, entry.at
    if entry.act not in SERVING_ACTS or key not in ends:
        return ""
    end = ends[key]
    return "now" if end is None else f"{end:%Y-%m-%d %H:%M}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _escaped(table: Table) -> dict[str, list[str]]:
    """A bar would end the cell, a line its row."""
    return {
        str(name).replace("|", "\\|"): [" ".join(str(cell).split()).replace("|", "\\|") for cell in cells]
        for name, cells in table.items()
    }
