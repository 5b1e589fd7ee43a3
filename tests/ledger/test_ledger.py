"""The ledger keeps what it was told, and shows every change."""

import os
import pwd
from datetime import UTC, datetime
from pathlib import Path

import pytest

from larder.contracts.errors import InvalidDataError
from larder.contracts.settings import load_settings
from larder.ledger import Act, Ledger, file
from larder.ledger.head import Head, write_head

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "ledger.jsonl", "tester@here")
    for number in range(4):
        made.append(Act.DECISION, "returns", at=NOW, reason=f"reason {number}", inputs={"share": 0.5 + number})
    return made


def test_who_acts_is_the_account_and_not_what_a_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "bob")

    name, _, host = file.ledger_of(load_settings({"LARDER_HOME": str(tmp_path)})).actor.partition("@")

    assert name == pwd.getpwuid(os.getuid()).pw_name != "bob" and host


def test_entries_come_back_in_order_with_who_when_and_why(ledger: Ledger):
    entries = ledger.entries(subject="returns")

    assert [(entry.number, entry.reason) for entry in entries] == [(i + 1, f"reason {i}") for i in range(4)]
    assert {(entry.actor, entry.at) for entry in entries} == {("tester@here", NOW)}
    assert ledger.problem() is None


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda lines: [lines[0], lines[1].replace(b"reason 1", b"reason 9"), *lines[2:]], "Entry 2"),
        (lambda lines: [lines[0], *lines[2:]], "Entry 2 is missing"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "Entry 1 is missing"),
        (lambda lines: lines[:-1], "was cut"),
        (lambda lines: [], "was cut"),
        (lambda lines: [*lines, lines[-1]], "Entry 5 is missing"),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], "Entry 3 is missing"),
        (lambda lines: [lines[0].replace(b"{", b'{"approved":true,', 1), *lines[1:]], "Line 1"),
        (lambda lines: [lines[0].replace(b'"reason":', b'"reason":"no","reason":'), *lines[1:]], "Line 1"),
    ],
    ids=["altered", "removed", "swapped", "cut", "emptied", "repeated", "inserted", "field added", "field twice"],
)
def test_every_edit_is_found(ledger: Ledger, edit, said: str):
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(edit(lines)))

    assert said in (ledger.problem() or "")


def test_nothing_follows_a_ledger_that_was_cut_so_that_the_cut_stays_visible(ledger: Ledger):
    ledger.path.write_bytes(b"".join(ledger.path.read_bytes().splitlines(keepends=True)[:2]))

    with pytest.raises(InvalidDataError, match="was cut"):
        ledger.append(Act.TRAINING, "returns/2", at=NOW, reason="due")

    assert "was cut" in (ledger.problem() or "")


def test_a_ledger_without_its_head_takes_nothing_more(ledger: Ledger):
    ledger.path.with_suffix(".head").unlink()

    with pytest.raises(InvalidDataError, match="head is missing"):
        ledger.require_writable()


def test_a_kill_between_the_entry_and_the_head_loses_neither(ledger: Ledger):
    head = ledger.path.with_suffix(".head")
    before = head.read_bytes()
    ledger.append(Act.TRAINING, "returns/2", at=NOW, reason="due")
    head.write_bytes(before)

    assert ledger.append(Act.EVALUATION, "returns/2", at=NOW, reason="trained").number == 6
    assert ledger.problem() is None


def test_a_kill_between_the_first_entry_and_the_first_head_loses_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = Ledger(tmp_path / "ledger.jsonl", "tester@here")

    def killed(path: Path, head: Head) -> None:
        if head.number == 1:
            raise KeyboardInterrupt
        write_head(path, head)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(file, "write_head", killed)
        first.append(Act.TRAINING, "returns/1", at=NOW, reason="due")

    assert first.problem() is None
    assert first.append(Act.EVALUATION, "returns/1", at=NOW, reason="trained").number == 2


def test_entries_longer_than_a_block_of_the_file_are_found_from_its_end(ledger: Ledger):
    for number in (5, 6):
        long = ledger.append(Act.TRAINING, "returns/2", at=NOW, reason="long " * 40_000)
        assert long.number == number

    assert ledger.problem() is None


def test_an_append_that_was_cut_off_is_no_entry_and_the_next_one_follows(ledger: Ledger):
    with open(ledger.path, "ab") as file:
        file.write(b'{"number":5,"at":"2024')

    assert len(ledger.entries()) == 4
    assert ledger.problem() is None
    assert ledger.append(Act.TRAINING, "returns/2", at=NOW, reason="due").number == 5
    assert ledger.problem() is None
