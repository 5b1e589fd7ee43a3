import errno
import os
import sqlite3
import subprocess
import sys
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner

from larder import cli


def larder(home: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LARDER_")}
    return subprocess.run(
        [sys.executable, "-m", "larder", *arguments],
        env=environment | {"LARDER_HOME": str(home), "COLUMNS": "200"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_the_steps_in_their_order(tmp_path: Path):
    shown = larder(tmp_path, "--help").stdout

    listed = [line.split()[0] for line in shown.split("Commands:")[1].splitlines() if line.startswith("  ")]
    assert listed[:7] == ["run", "ingest", "features", "train", "promote", "verify", "ask"]
    assert {"serve", "status", "up", "down", "report"} <= set(listed)
    assert "not installed" not in shown


@pytest.mark.parametrize("command", ["ingest", "features", "train", "promote", "verify", "ask", "serve"])
def test_a_folder_without_a_use_case_is_one_sentence_and_exit_code_2(tmp_path: Path, command: str):
    done = larder(tmp_path, command)

    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("Error:") and "Traceback" not in done.stderr
    assert "docs/use_your_own_data.md" in done.stderr
    assert not (tmp_path / ".larder" / "redis").exists(), "a Redis was started for nothing"


def test_a_wrong_setting_is_one_sentence_and_exit_code_2(tmp_path: Path):
    done = larder(tmp_path, "status", LARDER_CLOCK="now")

    assert (done.returncode, done.stdout) == (2, "")
    assert "LARDER_CLOCK is 'now'" in done.stderr and "Traceback" not in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path):
    assert "Traceback" in larder(tmp_path, "--debug", "status", LARDER_CLOCK="now").stderr


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("x = (", "SyntaxError: '(' was never closed"),
        ("x = missing", "NameError: name 'missing' is not defined"),
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
    ],
)
def test_a_mistake_in_a_use_case_file_is_told_with_file_and_line_and_is_no_defect(
    tmp_path: Path, line: str, problem: str
):
    for stage in ("feature_repo", "pipelines"):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "orders.py").write_text(f"\n{line}\n")

    done = larder(tmp_path, "ingest")

    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: pipelines/orders.py, line 2: {problem}.") and "defect" not in done.stderr


def test_a_mistake_in_definitions_beside_feature_store_yaml_is_told_with_file_and_line(tmp_path: Path):
    (tmp_path / "feature_store.yaml").write_text("project: shop\nprovider: local\nregistry: registry.db\n")
    (tmp_path / "views.py").write_text("\nx = (\n")

    done = larder(tmp_path, "features", LARDER_REDIS="redis://127.0.0.1:1/0")

    assert (done.returncode, "defect" in done.stderr) == (2, False)
    assert "Error: views.py, line 2: SyntaxError: '(' was never closed." in done.stderr


def test_what_feast_refuses_is_no_defect(capsys: pytest.CaptureFixture[str]):
    from feast.errors import FeastOnlineStoreInvalidName

    assert cli.failed(FeastOnlineStoreInvalidName("larder.online.RedisOnlinStore")) == 2

    said = capsys.readouterr().err
    assert "Feast refuses: Online Store Class 'larder.online.RedisOnlinStore'" in said and "Correct" in said


def test_an_unknown_command_is_refused(tmp_path: Path):
    done = larder(tmp_path, "fly")

    assert done.returncode == 2
    assert "No such command 'fly'" in done.stderr


def test_where_the_store_alone_is_installed_a_command_of_a_stage_says_where_stages_come_from(
    monkeypatch: pytest.MonkeyPatch,
):
    def of_the_store(**asked: str) -> EntryPoints:
        return EntryPoints(
            each for each in entry_points(**asked) if each.value.startswith("larder.") and each.name != "run"
        )

    monkeypatch.setattr(cli, "entry_points", of_the_store)

    done = CliRunner().invoke(cli.larder, ["train"])

    assert done.exit_code == 2
    assert "No such command 'train'. Only the feature store is installed here" in done.output
    assert "  features " in CliRunner().invoke(cli.larder, ["--help"]).output


def test_redis_out_of_reach_is_said_with_the_remedy(tmp_path: Path):
    done = larder(tmp_path, "up", LARDER_REDIS="redis://127.0.0.1:1/0")

    assert done.returncode == 2
    assert "127.0.0.1:1" in done.stderr and "LARDER_REDIS" in done.stderr


def test_status_of_an_empty_project_says_what_to_do(tmp_path: Path):
    done = larder(tmp_path, "status", LARDER_REDIS="redis://127.0.0.1:1/0")

    assert done.returncode == 0
    assert "larder run" in done.stdout


@pytest.mark.parametrize(
    "problem",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EFBIG, "File too large"),  # ulimit -f
        sqlite3.OperationalError("database or disk is full"),  # the registry
        sqlite3.OperationalError("disk I/O error"),  # the same, under a limit
    ],
)
def test_a_full_disk_is_said_with_the_remedy(problem: Exception, capsys: pytest.CaptureFixture[str]):
    assert cli.failed(problem) == 2
    said = capsys.readouterr().err
    assert "The disk is full" in said and "LARDER_STATE" in said


@pytest.mark.parametrize(
    "problem",
    [
        OSError(errno.EROFS, "Read-only file system", "/lake/reports"),
        PermissionError(errno.EACCES, "Permission denied", "/lake/reports"),
        sqlite3.OperationalError("attempt to write a readonly database"),
    ],
)
def test_what_this_user_may_not_write_is_said_with_the_remedy(problem: Exception, capsys: pytest.CaptureFixture[str]):
    assert cli.failed(problem) == 2
    said = capsys.readouterr().err
    assert "This user may not read or write there" in said and "LARDER_STATE" in said
