import subprocess
import sys
from datetime import UTC, datetime

import pytest

from larder.contracts.errors import ConfigurationError
from larder.contracts.objective import Kpi
from tests.training.shop import SPLIT, shop_objective


def test_declaring_an_objective_needs_no_scikit_learn():
    code = "import sys, larder.contracts.objective; sys.exit('sklearn' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"split_at": datetime(2024, 2, 1)}, "time zone"),
        ({"test_until": SPLIT}, "does not lie after"),
        ({"bounds": (0.9, 0.1)}, "rising quantiles"),
        ({"metrics": ("accuracy",)}, r"Unknown metric of classification: \['accuracy'\]; possible are \['roc_auc'"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_it_is_declared(changes, problem):
    with pytest.raises(ConfigurationError, match=problem):
        shop_objective(**changes)


def test_an_error_that_costs_nothing_leaves_nothing_to_decide():
    with pytest.raises(ConfigurationError, match="must be positive"):
        Kpi("cost", "EUR", false_alarm=0.0, miss=1.0, description="")


def test_the_threshold_falls_as_misses_get_dearer():
    cheap, dear = (Kpi("cost", "EUR", false_alarm=1.0, miss=miss, description="").threshold for miss in (1.0, 9.0))

    assert (cheap, dear) == (0.5, 0.1)
    assert shop_objective().split_at == datetime(2024, 2, 1, tzinfo=UTC)


def test_the_costs_of_a_version_count_where_it_answers_the_same_question():
    objective = shop_objective()
    former = {"false_alarm": 3.0, "miss": 7.0}

    assert objective.with_costs(former).kpi.costs == former
    assert objective.with_costs({}) is objective
    assert objective.with_costs({"too_low": 1.0, "too_high": 2.0}) is objective  # of a version that answered a number
