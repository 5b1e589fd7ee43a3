from monitoring.reports.examples import MOST_FEATURES, UsedFeature, example
from monitoring.reports.run_report import Answer, Importance

IMPORTANCE = [Importance("pages", 0.1), Importance("late_share", 0.4)]


def answered(**answer: object) -> Answer:
    return Answer(request={"reader": "R-17"}, answer=answer, outcome=True)


def test_the_features_that_weigh_most_come_first():
    row = example(answered(p=0.8, features={"weekday": 1, "pages": 412, "late_share": 0.5}), IMPORTANCE)

    assert [feature.name for feature in row.features] == ["late_share", "pages", "weekday"]


def test_a_withheld_feature_says_why_instead_of_its_value():
    row = example(
        answered(p=0.8, missing=["pages"], stale=["late_share"], features={"pages": None, "late_share": None}), []
    )

    assert row.features == (UsedFeature("pages", None, "missing"), UsedFeature("late_share", None, "stale"))
    assert row.withheld == 2


def test_the_probability_is_found_under_the_name_that_the_use_case_gave_it():
    assert example(answered(is_late_expected=True, late_probability=0.8, confidence="high"), []).prediction == 0.8
    assert example(answered(error="overloaded"), []).prediction is None


def test_only_a_few_features_are_shown():
    row = example(answered(p=0.1, features={f"f{i}": i for i in range(100)}), [])

    assert len(row.features) == MOST_FEATURES
