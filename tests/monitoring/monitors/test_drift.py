from dataclasses import replace

import msgspec
import numpy as np
import pytest

from larder.contracts.monitoring import Monitoring, Verdict
from monitoring.monitors.drift import drift
from tests.monitoring.library import WINDOW, alarms, answers, answers_table, baseline, features, probabilities

USUAL = baseline()
LIMITS = Monitoring()


def subjects(found: list[tuple[str, str, str]]) -> set[str]:
    return {subject for _, subject, _ in found}


@pytest.mark.parametrize("rows", [50, 120, 300, 700, 2_000])
def test_windows_of_the_very_distribution_of_training_hardly_ever_alarm(rows: int):
    random = np.random.default_rng(rows)
    limits = replace(LIMITS, minimum_rows=50)
    windows = [answers_table(features(random, rows), predicted=probabilities(random, rows)) for _ in range(40)]

    alarming = [table for table in windows if alarms(drift(WINDOW, answers(table), USUAL, limits))]

    assert len(alarming) <= 1


def test_each_input_that_shifts_is_named_and_no_other():
    random = np.random.default_rng(4)
    values = features(random, 500)
    values["pages"] = [None if page is None else page * 2 for page in values["pages"]]
    values["genre"] = random.choice(("poetry", "travel"), 500).tolist()
    table = answers_table(values, predicted=probabilities(random, 500))

    found = alarms(drift(WINDOW, answers(table), USUAL, LIMITS))

    assert subjects(found) == {"pages", "genre"}
    assert {metric for _, subject, metric in found if subject == "pages"} == {"psi", "jensen_shannon", "wasserstein"}


def test_predictions_that_shift_are_named():
    random = np.random.default_rng(4)
    table = answers_table(features(random, 500), predicted=np.sqrt(probabilities(random, 500)))

    assert subjects(alarms(drift(WINDOW, answers(table), USUAL, LIMITS))) == {"prediction"}


def test_values_that_turn_to_null_are_a_shift_too():
    random = np.random.default_rng(4)
    values = features(random, 500)
    values["return_count_7d"] = [None] * 250 + values["return_count_7d"][250:]
    table = answers_table(values, predicted=probabilities(random, 500))

    assert subjects(alarms(drift(WINDOW, answers(table), USUAL, LIMITS))) == {"return_count_7d"}


def test_a_shift_that_windows_of_training_had_as_well_is_usual():
    random = np.random.default_rng(4)
    values = features(random, 500)
    values["pages"] = [None if page is None else page * 2 for page in values["pages"]]
    table = answers_table(values, predicted=probabilities(random, 500))
    wild = msgspec.structs.replace(USUAL, usual={"pages": {"psi": 2.0, "jensen_shannon": 0.6, "wasserstein": 1.5}})

    assert alarms(drift(WINDOW, answers(table), wild, LIMITS)) == []


@pytest.mark.parametrize(("steepness", "alarming"), [(0.0, set()), (0.001, set()), (0.05, {"pages"})])
def test_drift_of_an_input_alarms_only_when_the_model_feels_it(steepness: float, alarming: set[str]):
    """`steepness`: by how much the answer rises from one bin of the input to the next."""
    random = np.random.default_rng(4)
    values = features(random, 500)
    values["pages"] = [None if page is None else page * 2 for page in values["pages"]]
    table = answers_table(values, predicted=probabilities(random, 500))
    bins = len(USUAL.numbers["pages"].counts) + 1
    felt = msgspec.structs.replace(USUAL, dependence={"pages": [steepness * place for place in range(bins)]})

    found = drift(WINDOW, answers(table), felt, LIMITS)

    assert subjects(alarms(found)) == alarming
    [effect] = [item for item in found if item.metric == "effect"]
    assert effect.subject == "pages" and ("not more" in effect.evidence) is not bool(alarming)


@pytest.mark.parametrize(("usual", "alarming"), [(0.01, {"pages"}), (0.99, {"pages"}), (0.3, set())])
def test_where_one_outcome_is_rare_the_model_feels_what_moves_a_fifth_of_it(usual: float, alarming: set[str]):
    random = np.random.default_rng(4)
    values = features(random, 500)
    values["pages"] = [None if page is None else page * 2 for page in values["pages"]]
    table = answers_table(values, predicted=probabilities(random, 500))
    bins = len(USUAL.numbers["pages"].counts) + 1
    prediction = msgspec.structs.replace(USUAL.prediction, mean=usual)
    felt = msgspec.structs.replace(
        USUAL, dependence={"pages": [0.002 * place for place in range(bins)]}, prediction=prediction
    )

    assert subjects(alarms(drift(WINDOW, answers(table), felt, LIMITS))) == alarming


def test_a_small_distance_is_no_alarm_however_many_rows_prove_it():
    random = np.random.default_rng(4)
    values = features(random, 20_000)
    values["pages"] = [None if page is None else page * 1.05 for page in values["pages"]]
    table = answers_table(values, predicted=probabilities(random, 20_000))

    found = drift(WINDOW, answers(table), USUAL, LIMITS)

    assert alarms(found) == []
    assert "; significant" in next(item.evidence for item in found if item.subject == "pages")


def test_a_window_with_too_few_answers_cannot_be_judged():
    table = answers_table(features(np.random.default_rng(4), 299))

    [found] = drift(WINDOW, answers(table), USUAL, LIMITS)

    assert found.verdict is Verdict.UNKNOWN and "from 300 on" in found.evidence
