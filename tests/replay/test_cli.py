"""What `larder replay` says when it cannot begin, and which lake it goes on with."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from larder.contracts.settings import Settings, load_settings
from replay import cli
from replay.worker import Task
from tests.end_to_end.project import project

SOURCE = Path(__file__).parent.parent / "second_use_case"
TIMES = ("--from", "2024-02-20T00:00:00Z", "--to", "2024-04-10T00:00:00Z")


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("feature_repo", 'ttl=timedelta(0)', 'ttl=timdelta(0)', "feature_repo/returns.py, line 59: NameError"),
        ("training", "growth=0.5,", 'triggers=(Trigger("quality", "rmse"),),', "'rmse'; possible are 'roc_auc'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_use_case_file_is_one_sentence_with_its_place(
    tmp_path: Path, file: str, old: str, new: str, said: str
):
    with project(SOURCE, tmp_path / "my project", clock="2024-04-10T00:00:00Z") as made:
        path = made.home / file / "returns.py"
        path.write_text(
            path.read_text().replace(old, new).replace("Release, Retraining\n", "Release, Retraining, Trigger\n")
        )

        told = made.larder("replay", *TIMES, code=2)

    assert said in told and "Traceback" not in told


def _changed(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    ("change", "is_made_anew"),
    [
        (lambda home: None, False),
        (lambda home: _changed(home / "training/returns.py", "growth=0.5", "growth=0.6"), False),
        (lambda home: (home / "raw" / "notes.txt").write_text("no table"), False),
        (lambda home: _changed(home / "training/returns.py", "timedelta(days=7)", "timedelta(days=9)"), True),
        (lambda home: _changed(home / "pipelines/returns.py", "\n\n", "\n\nANOTHER = 1\n"), True),
        (lambda home: _changed(home / "feature_repo/returns.py", "\n\n", "\n\nANOTHER = 1\n"), True),
        (lambda home: (home / "raw" / "orders_2.csv").write_text("order_id"), True),
        (lambda home: os.utime(home / "raw" / "orders_1.csv", (1, 1)), True),
        (lambda home: (home / "raw" / "orders_1.csv").unlink(), True),
    ],
)  # fmt: skip
def test_a_lake_made_from_other_files_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object], is_made_anew: bool
):
    for folder in ("feature_repo", "pipelines", "training"):
        shutil.copytree(SOURCE / folder, tmp_path / folder)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "orders_1.csv").write_text("order_id")
    settings = replace(load_settings({"LARDER_HOME": str(tmp_path)}), raw=tmp_path / "raw", state=tmp_path / "state")
    source, prepared = tmp_path / "state" / "source", tmp_path / "state" / "prepared"
    task = Task(str(source), str(prepared), datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC))
    runs = list[bool]()

    def run(_: Task, own: Settings) -> None:
        runs.append((source / "rows").exists())
        (source / "rows").touch()
        assert own.state == prepared

    monkeypatch.setattr(cli, "_run", run)
    cli._prepare(task, source, prepared, settings)
    change(tmp_path)
    cli._prepare(task, source, prepared, settings)

    assert runs == [False, False] if is_made_anew else [False]
