import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from larder.contracts.bundle import Bounds
from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingColumnsError
from larder.contracts.objective import Label
from larder.evaluation import task_of
from tests.training.shop import COLUMNS, shop_objective
from training.models.model import Columns, fit, importance, inputs, predictions, training_bounds
from training.models.model_file import dumped, loaded


class OwnClassifier(ClassifierMixin, BaseEstimator):
    """A class of this project, which serving could not restore."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        return self


def test_numbers_come_first_and_null_is_nan_or_the_empty_string():
    rows = pa.table({"metal": ["iron", None], "age_years": pa.array([None, 2.0], pa.float32()), "weight_kg": [1, 2]})

    frame = inputs(rows, COLUMNS)

    assert list(frame.columns) == ["age_years", "weight_kg", "metal"]
    assert np.isnan(frame["age_years"][0]) and frame["age_years"].dtype == np.float32
    assert frame["metal"].to_list() == ["iron", ""]


def test_training_twice_gives_the_same_predictions(data):
    first, second = (predictions(fit(shop_objective(), data.train, COLUMNS), data.test, COLUMNS) for _ in range(2))

    assert first.tolist() == second.tolist()


def test_what_decides_is_important(data):
    model = fit(shop_objective(), data.train, COLUMNS)

    task = task_of(shop_objective())
    found = importance(model, data.test, COLUMNS, task, task.outcomes(data.test, "came_back"), seed=0)

    assert list(found) == ["metal", "age_years", "weight_kg"]


def test_bounds_are_quantiles_of_what_is_finite():
    rows = pa.table({"age_years": [0.0, 1.0, 2.0, 3.0, 4.0, None, float("nan"), float("inf")]})

    assert training_bounds(rows, Columns(("age_years",)), (0.25, 0.75)) == {"age_years": Bounds(1.0, 3.0)}


def test_a_label_of_one_kind_is_refused(data):
    rows = data.train.filter(data.train["came_back"])

    with pytest.raises(InvalidDataError, match="training labels 'came_back' are the same"):
        fit(shop_objective(), rows, COLUMNS)


def test_a_feature_that_is_null_in_every_row_is_named(data):
    place = data.train.column_names.index("weight_kg")
    rows = data.train.set_column(place, "weight_kg", pa.nulls(data.train.num_rows, pa.float32()))

    with pytest.raises(InvalidDataError, match=r"value of \['weight_kg'\]"):
        fit(shop_objective(), rows, COLUMNS)


def test_a_label_that_is_no_number_is_refused(data):
    objective = shop_objective(label=Label("repairs", "metal", positive="iron"))

    with pytest.raises(InvalidDataError, match="Label 'metal' is a column of large_string; a label is true or false"):
        fit(objective, data.train, COLUMNS)


def test_a_function_that_makes_no_pipeline_is_refused(data):
    with pytest.raises(ConfigurationError, match="returns None; it must return an unfitted scikit-learn Pipeline"):
        fit(shop_objective(pipeline=lambda numbers, strings: None), data.train, COLUMNS)


def test_a_pipeline_that_cannot_learn_from_the_columns_is_named_with_them(data):
    bare = Pipeline([("model", LogisticRegression())])

    with pytest.raises(
        ConfigurationError, match=r"2 numbers, null being NaN, .* strings \['metal'\]: could not convert"
    ):
        fit(shop_objective(pipeline=lambda numbers, strings: bare), data.train, COLUMNS)


def test_a_pipeline_that_learned_from_rows_without_nulls_and_cannot_answer_one_is_refused(data):
    known = data.train.filter(pc.is_finite(data.train["age_years"].fill_null(np.nan)))
    line = Pipeline([("scale", StandardScaler()), ("line", LogisticRegression())])

    with pytest.raises(ConfigurationError, match=r"no answer where a feature is missing.*NaN.*SimpleImputer"):
        fit(shop_objective(pipeline=lambda numbers, strings: line), known, Columns(("age_years",)))


def test_an_unknown_feature_of_a_reference_is_named():
    with pytest.raises(MissingColumnsError, match=r"called \['colour'\]"):
        COLUMNS.only(["colour"])


def test_a_class_of_ones_own_is_refused_before_it_is_fitted(data):
    with pytest.raises(ConfigurationError, match="OwnClassifier"):
        fit(shop_objective(pipeline=lambda numbers, strings: Pipeline([("own", OwnClassifier())])), data.train, COLUMNS)


def test_a_dumped_model_answers_as_before(data):
    model = fit(shop_objective(), data.train, COLUMNS)

    again = loaded(dumped(model))

    assert predictions(again, data.test, COLUMNS).tolist() == predictions(model, data.test, COLUMNS).tolist()


def test_a_pipeline_that_imputes_nulls_is_dumped_and_restored(data):
    """Linear models need it; an imputer keeps the type of the array that it learned from."""

    def imputed(numbers, strings):
        encoder = ColumnTransformer(
            [("numbers", SimpleImputer(), [0, 1]), ("strings", OneHotEncoder(handle_unknown="ignore"), [2])]
        )
        return Pipeline(
            [("columns", encoder), ("scale", StandardScaler(with_mean=False)), ("line", LogisticRegression())]
        )

    model = fit(shop_objective(pipeline=imputed), data.train, COLUMNS)

    again = loaded(dumped(model))

    assert predictions(again, data.test, COLUMNS).tolist() == predictions(model, data.test, COLUMNS).tolist()


def test_a_model_file_with_a_foreign_type_is_not_restored():
    import skops.io

    with pytest.raises(InvalidDataError, match="OwnClassifier"):
        loaded(skops.io.dumps(OwnClassifier()))


def test_a_damaged_model_file_is_refused(data):
    whole = dumped(fit(shop_objective(), data.train, COLUMNS))

    with pytest.raises(InvalidDataError, match="damaged"):
        loaded(whole[: len(whole) // 2])
