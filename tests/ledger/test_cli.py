"""`larder ledger show` and `larder ledger verify`, as a user calls them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from larder.contracts.settings import Settings, load_settings
from larder.ledger import Act, Ledger, ledger_of
from larder.ledger.anchors import ANCHOR_TAG
from larder.ledger.cli import ledger as command
from larder.model_registry import quiet_mlflow
from tests.ledger.test_ledger import NOW

MODEL = "returns"


def project(home: Path) -> Settings:
    return load_settings({"LARDER_HOME": str(home)})


def recorded(settings: Settings, *, reason: str = "new data") -> Ledger:
    """Three acts, the last of them a promotion."""
    made = ledger_of(settings, actor="tester@here")
    made.append(Act.INGESTION, "ingestion", at=NOW, reason=reason, outcome={"rows": 10})
    made.append(Act.TRAINING, f"{MODEL}/1", at=NOW, reason="due", inputs={"rows": 8})
    made.append(Act.PROMOTION, f"{MODEL}/1", at=NOW, reason="better [bold]")
    return made


def anchored(settings: Settings) -> None:
    """As promotion leaves it: MLflow remembers the newest promotion's entry."""
    client = quiet_mlflow().MlflowClient(settings.mlflow)
    client.create_registered_model(MODEL, tags={ANCHOR_TAG: ledger_of(settings).entries()[-1].hash})


def larder_ledger(settings: Settings, *arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "140"}).invoke(command, arguments, obj=settings)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = project(tmp_path_factory.mktemp("ledger") / "my project")
    recorded(made)
    anchored(made)
    return made


def test_show_lists_what_was_done_to_what_by_whom_when_and_why(settings: Settings):
    shown = larder_ledger(settings, "show").output

    for said in ("2024-03-01 12:00:00", "promotion", "returns/1", "tester@here", "better [bold]"):
        assert said in shown


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ((), [1, 2, 3]),
        (("--subject", MODEL), [2, 3]),
        (("--act", "training", "--act", "ingestion"), [1, 2]),
        (("--last", "1"), [3]),
        (("--subject", MODEL, "--act", "promotion", "--last", "5"), [3]),
        (("2",), [2]),
    ],
)
def test_show_chooses_and_writes_one_object_per_line(settings: Settings, options: tuple[str, ...], numbers: list[int]):
    lines = larder_ledger(settings, "show", "--json", *options).output.splitlines()

    assert [json.loads(line)["number"] for line in lines] == numbers


def test_show_with_a_number_tells_inputs_outcome_and_hashes(settings: Settings):
    shown = larder_ledger(settings, "show", "1").output

    first = ledger_of(settings).entries()[0]
    assert '"rows": 10' in shown and first.hash in shown and first.previous in shown


def test_show_refuses_a_number_that_is_not_there(settings: Settings):
    refused = larder_ledger(settings, "show", "4")

    assert refused.exit_code == 2 and "no entry 4" in refused.output


def test_verify_tells_number_and_head_and_that_the_anchor_holds(settings: Settings):
    proven = larder_ledger(settings, "verify")

    assert proven.exit_code == 0
    assert f"3 entries, chain holds, head {ledger_of(settings).entries()[-1].hash}" in proven.output
    assert "Anchors hold" in proven.output


def test_a_ledger_without_mlflow_is_verified_and_says_what_was_not_checked(tmp_path: Path):
    alone = project(tmp_path)

    proven = larder_ledger(alone, "verify")

    assert proven.exit_code == 0
    assert "0 entries, chain holds" in proven.output and "Anchors not checked" in proven.output
    assert not (alone.state / "mlflow.db").exists()


@dataclass(frozen=True)
class Tampering:
    with_ledger: Callable[[Ledger], None]
    said: str


def _lines(edit: Callable[[list[bytes]], list[bytes]]) -> Callable[[Ledger], None]:
    def applied(ledger: Ledger) -> None:
        ledger.path.write_bytes(b"".join(edit(ledger.path.read_bytes().splitlines(keepends=True))))

    return applied


def _rebuilt_whole(ledger: Ledger) -> None:
    """The same acts with another reason, chain and head in order."""
    settings = project(ledger.path.parent.parent)
    _removed(ledger)
    recorded(settings, reason="whatever suits")
    assert ledger.problem() is None


def _removed(ledger: Ledger) -> None:
    for path in ledger.path.parent.glob("ledger.*"):
        path.unlink()


def _copied_whole(ledger: Ledger) -> None:
    other = recorded(project(ledger.path.parent.parent / "other"), reason="of another project")
    for path in other.path.parent.glob("ledger.*"):
        shutil.copy(path, ledger.path.parent)
    assert ledger.problem() is None


def _copied_without_head(ledger: Ledger) -> None:
    other = recorded(project(ledger.path.parent.parent / "other"), reason="of another project")
    shutil.copy(other.path, ledger.path)


TAMPERING = {
    "altered": Tampering(_lines(lambda lines: [lines[0].replace(b'"rows":10', b'"rows":99'), *lines[1:]]), "Entry 1"),
    "cut": Tampering(_lines(lambda lines: lines[:-1]), "was cut"),
    "cut within a line": Tampering(_lines(lambda lines: [*lines[:-1], lines[-1][:50]]), "was cut"),
    "swapped": Tampering(_lines(lambda lines: [lines[1], lines[0], lines[2]]), "Entry 1"),
    "inserted": Tampering(_lines(lambda lines: [lines[0], *lines]), "Entry 2"),
    "rebuilt whole": Tampering(_rebuilt_whole, "MLflow remembers"),
    "removed whole": Tampering(_removed, "MLflow remembers"),
    "copied from another project": Tampering(_copied_whole, "MLflow remembers"),
    "copied without its head": Tampering(_copied_without_head, "was rebuilt"),
}


@pytest.mark.parametrize("tampering", TAMPERING.values(), ids=TAMPERING.keys())
def test_verify_ends_with_1_and_one_sentence_for_a_ledger_that_was(
    settings: Settings, tmp_path: Path, tampering: Tampering
):
    own = replace(project(tmp_path), mlflow=settings.mlflow)
    shutil.copytree(settings.state, own.state, ignore=shutil.ignore_patterns("mlflow.db"))
    assert larder_ledger(own, "verify").exit_code == 0

    tampering.with_ledger(ledger_of(own))

    found = larder_ledger(own, "verify")
    assert found.exit_code == 1
    assert tampering.said in found.stderr
    assert len(found.stderr.splitlines()) == 1
