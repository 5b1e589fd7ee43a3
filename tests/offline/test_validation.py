"""Feast's data-quality validation runs over what this store retrieves."""

import pandas as pd
import pytest
from feast import FeatureStore
from feast.dqm.errors import ValidationFailed
from feast.dqm.profilers.profiler import Profile, Profiler, ValidationError, ValidationReport

from larder.offline import SavedDatasetDeltaStorage
from tests.offline.shop import rows

pytestmark = pytest.mark.filterwarnings("ignore:(Saving|Retrieving|Dataset).*is an experimental:RuntimeWarning")


class Report(ValidationReport):
    def __init__(self, too_many: int) -> None:
        self._too_many = too_many

    @property
    def is_success(self) -> bool:
        return self._too_many == 0

    @property
    def errors(self) -> list[ValidationError]:
        return [ValidationError(check_name="at most", column_name="pieces", unexpected_count=self._too_many)]


class AtMost(Profile):
    """No more pieces than the reference has."""

    def __init__(self, pieces: int) -> None:
        self._pieces = pieces

    def validate(self, dataset: pd.DataFrame) -> ValidationReport:
        return Report(int((dataset["pieces"] > self._pieces).sum()))


class MostPieces(Profiler):
    def analyze_dataset(self, dataset: pd.DataFrame) -> Profile:
        return AtMost(int(dataset["pieces"].max()))


def test_a_retrieval_is_held_against_the_profile_of_a_saved_dataset(store: FeatureStore):
    few = store.get_historical_features(rows(("a", "10:30")), features=["sales:pieces"])
    many = store.get_historical_features(rows(("b", "10:30")), features=["sales:pieces"])
    saved = store.create_saved_dataset(few, name="few", storage=SavedDatasetDeltaStorage(path="saved/few"))
    reference = saved.as_reference(name="few_pieces", profiler=MostPieces())

    assert few.to_df(validation_reference=reference)["pieces"].to_list() == [1]
    with pytest.raises(ValidationFailed):
        many.to_df(validation_reference=reference)
