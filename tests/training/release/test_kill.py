"""Kill -9 at every step of every act: exactly one champion, and registry = bundle = ledger."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from larder.ledger import Act, ledger_of
from tests.training.release.kill import NOW, POLICY, project
from tests.training.release.pans import BEGIN, DAY, MODEL, write_answers
from tests.training.shop import apply_shop, shop_candidate, shop_data, shop_objective, shop_store
from training.release.advance import advance
from training.release.begin import begin_shadow
from training.training_run import train

ROOT = Path(__file__).parents[3]
ANY_GATES = shop_objective(gates=())


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Path:
    """One folder per act, each with a project that stands just before it: two versions trained for real."""
    folder = tmp_path_factory.mktemp("killed releases")
    first = project(folder / "first", "first")
    first.state.mkdir(parents=True)
    shutil.copy(empty_mlflow, first.state / "mlflow.db")
    store = shop_store(first)
    apply_shop(store)
    candidates = []
    for _ in range(2):
        train(first, ANY_GATES, shop_data(), model=MODEL)
        candidates.append(shop_candidate(first, ANY_GATES))
    for before, after, chosen in (("first", "shadow", candidates[0]), ("shadow", "promotion", candidates[1])):
        (folder / before / "candidate.pickle").write_bytes(pickle.dumps(chosen))
        shutil.copytree(folder / before, folder / after)
        settings = project(folder / after, before)
        begin_shadow(shop_store(settings), settings, ANY_GATES, POLICY, chosen, ledger=ledger_of(settings))
    in_shadow = project(folder / "promotion", "promotion")
    write_answers(in_shadow, {"1": 0.6, "2": 0.4}, live="1")
    shutil.copytree(folder / "promotion", folder / "rollback")
    settings = project(folder / "rollback", "promotion")
    advance(settings, ANY_GATES, POLICY, model=MODEL, ledger=ledger_of(settings), now=BEGIN + 3 * DAY)
    return folder


@pytest.fixture(scope="module")
def killed(projects: Path) -> list[dict[str, Any]]:
    """How each project stood after a kill at each step, and after the act was tried again."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.release.kill", str(projects)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.parametrize(
    ("act", "before", "after", "entry", "least_steps"),
    [
        ("first", [None, None], ["1", None], "promotion 1", 10),
        ("shadow", ["1", None], ["1", "2"], "shadow 2", 9),
        ("promotion", ["1", "2"], ["2", "1"], "promotion 2", 9),
        ("rollback", ["2", "1"], ["1", None], "rollback 1", 8),
    ],
)
def test_a_kill_at_any_step_leaves_one_champion_and_the_rerun_completes_the_act(
    killed, act, before, after, entry, least_steps
):
    runs = [run for run in killed if run["act"] == act]

    assert len(runs) >= least_steps
    for run in runs:
        for moment in ("settled", "again"):
            found = run[moment]
            assert found["problem"] is None and found["bundles"] == found["ledger"], run
            assert found["alias"] == found["ledger"][0] and (found["alias"] is None or found["tag"]), run
        assert run["settled"]["ledger"] in (before, after), run
        assert run["again"]["ledger"] == after and run["again"]["acts"].count(entry) == 1, run
    assert {tuple(run["settled"]["ledger"]) for run in runs} == {tuple(before), tuple(after)}


def test_the_projects_stand_where_the_acts_begin(projects):
    reached = {name: len(ledger_of(project(projects / name, name)).entries()) for name in NOW}

    assert reached == {"first": 0, "shadow": 1, "promotion": 2, "rollback": 3}
    assert ledger_of(project(projects / "rollback", "rollback")).entries()[-1].act is Act.PROMOTION
