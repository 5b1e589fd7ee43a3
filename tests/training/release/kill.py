"""Kill acts on releases at each of their steps; run as a process of its own: `... <folder>`.

For every act `<folder>/<act>` holds a project and, where the act needs one, `candidate.pickle`. For every step a
copy is made, a child acts on it and is ended by SIGKILL there; then the project is settled, and the act tried again.
One line of JSON per step. Forks of one process that has imported everything make this quick, so that process itself
starts no thread.
"""

import json
import os
import pickle
import shutil
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import mlflow

import larder.online.planning  # noqa: F401 - what acts import only when they are called, before the forks
from larder.contracts.bundle import champion_version, shadow_version
from larder.contracts.retraining import Release
from larder.contracts.settings import Settings, load_settings
from larder.ledger import Ledger, ledger_of
from larder.model_registry import quiet_mlflow
from tests.training.release.pans import BEGIN, DAY, MODEL
from tests.training.shop import shop_objective, shop_store
from training.release.acts import rollback
from training.release.advance import advance
from training.release.begin import begin_shadow
from training.release.settle import settle
from training.release.state import release_state

POLICY = Release(shadow=2 * DAY, shadow_rows=200, patience=6 * DAY, watch=3 * DAY, tolerance=0.01)
NOW = {"first": BEGIN, "shadow": BEGIN, "promotion": BEGIN + 3 * DAY, "rollback": BEGIN + 4 * DAY}
STEPS = [(Ledger, "append"), (os, "fsync"), (os, "replace"), (Path, "unlink")]
STEPS += [(mlflow.MlflowClient, f"set_registered_model_{what}") for what in ("alias", "tag")]
"""All that makes a change last. A kill before one is a kill after the one before, and the last is killed after, too."""


def act(settings: Settings, name: str, folder: Path) -> None:
    ledger, objective = ledger_of(settings), shop_objective()
    if name in ("first", "shadow"):
        candidate = pickle.loads((folder / name / "candidate.pickle").read_bytes())
        begin_shadow(shop_store(settings), settings, objective, POLICY, candidate, ledger=ledger)
    elif name == "promotion":
        advance(settings, objective, POLICY, model=MODEL, ledger=ledger, now=NOW[name])
    else:
        rollback(settings, MODEL, ledger=ledger, now=NOW[name], reason="complaints", to="1")


def project(home: Path, name: str) -> Settings:
    return load_settings({"LARDER_HOME": str(home), "LARDER_CLOCK": NOW[name].isoformat()})


def standing(settings: Settings) -> dict[str, Any]:
    """The champion by the ledger, the bundles and MLflow, and the version that listens by the first two."""
    ledger = ledger_of(settings)
    state = release_state(ledger, MODEL)
    [registered] = mlflow.MlflowClient(settings.mlflow).search_registered_models()
    return {
        "problem": ledger.problem(),
        "ledger": [state.champion, state.listener],
        "bundles": [champion_version(settings.bundles, MODEL), shadow_version(settings.bundles, MODEL)],
        "alias": registered.aliases.get("champion") and str(registered.aliases["champion"]),
        "tag": registered.tags.get("larder.ledger_head") == state.entry,
        "acts": [f"{entry.act} {entry.subject.rpartition('/')[2]}" for entry in ledger.entries()],
    }


def in_child(work: Callable[[], None]) -> int:
    """The child's exit status as `os.wait` gives it."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as problem:
            print(repr(problem), file=sys.stderr, flush=True)
            os._exit(1)
    return os.waitpid(child, 0)[1]


def kill_before(step: int) -> None:
    """End this process just before its `step`-th lasting change."""
    steps = count(1)
    for owner, name in STEPS:
        original = getattr(owner, name)

        def counted(*arguments: Any, _original: Any = original, **options: Any) -> Any:
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return _original(*arguments, **options)

        setattr(owner, name, counted)


def main(folder: Path, name: str) -> None:
    for step in count(1):
        home = folder / f"{name} {step}"
        shutil.copytree(folder / name, home)
        settings = project(home, name)

        def killed(settings: Settings = settings, step: int = step) -> None:
            kill_before(step)
            act(settings, name, folder)

        def recovered(settings: Settings = settings) -> None:
            settle(settings, MODEL, ledger_of(settings))
            settled = standing(settings)
            act(settings, name, folder)
            print(json.dumps({"act": name, "settled": settled, "again": standing(settings)}), flush=True)

        status = in_child(killed)
        if in_child(recovered):
            sys.exit(f"Step {step} of {name} was not recovered from.")
        shutil.rmtree(home)
        if status == 0:
            return
        if not os.WIFSIGNALED(status):
            sys.exit(f"Step {step} of {name} failed instead of being killed.")


if __name__ == "__main__":
    quiet_mlflow()
    for act_name in NOW:
        main(Path(sys.argv[1]), act_name)
