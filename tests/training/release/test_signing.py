"""Where signatures count, no version serves that nobody signed."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from larder.contracts.bundle import champion_version, read_manifest
from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.settings import Settings
from larder.ledger import Act, Ledger
from tests.keys import key_pair
from tests.training.release.pans import BEGIN, MODEL
from training.models_command import models
from training.release.acts import releasing, rollback
from training.release.signing import sign


@pytest.fixture
def guarded(settings: Settings, tmp_path: Path) -> Settings:
    """The same project with a key to sign with, whose public half is trusted."""
    private, public = key_pair(tmp_path)
    return replace(settings, signing_key=private, trusted_keys=public)


def promote(settings: Settings, ledger: Ledger, version: str) -> None:
    with releasing(settings, MODEL, ledger) as releases:
        releases.promote(version, at=BEGIN, reason="better", inputs={})


def test_an_unsigned_version_is_promoted_only_once_it_is_signed(guarded: Settings, ledger: Ledger):
    with pytest.raises(InvalidDataError, match="2 is not signed"):
        promote(guarded, ledger, "2")
    assert champion_version(guarded.bundles, MODEL) == "1"

    entry = sign(guarded, MODEL, "2", ledger=ledger, now=BEGIN, reason="looked at it")
    promote(guarded, ledger, "2")

    assert champion_version(guarded.bundles, MODEL) == "2"
    assert (entry.act, entry.subject, entry.reason) == (Act.SIGNATURE, f"{MODEL}/2", "looked at it")
    hashes = read_manifest(guarded.bundles / MODEL / "2").hashes
    assert entry.inputs == {"run_id": "run2", "bundle": hashes}


def test_a_rollback_to_an_unsigned_version_leaves_the_pointer_alone(guarded: Settings, ledger: Ledger):
    sign(guarded, MODEL, "2", ledger=ledger, now=BEGIN, reason="looked at it")
    promote(guarded, ledger, "2")

    with pytest.raises(InvalidDataError, match="1 is not signed"):
        rollback(guarded, MODEL, ledger=ledger, now=BEGIN, reason="bad")

    assert champion_version(guarded.bundles, MODEL) == "2"


def test_the_command_signs_and_says_who_did(guarded: Settings, ledger: Ledger):
    file = guarded.home / "feature_repo" / f"{MODEL}.py"
    file.parent.mkdir()
    file.touch()

    done = CliRunner().invoke(models, ["sign", "2", "--reason", "from the old server"], obj=guarded)

    (entry,) = ledger.entries(acts=(Act.SIGNATURE,))
    assert done.output == f"{entry.actor} signed {MODEL} version 2: from the old server\n"
    assert read_manifest(guarded.bundles / MODEL / "2", trusted_keys=guarded.trusted_keys).version == "2"


def test_without_a_key_nothing_can_be_signed(settings: Settings, ledger: Ledger):
    with pytest.raises(ConfigurationError, match="Set LARDER_SIGNING_KEY"):
        sign(settings, MODEL, "2", ledger=ledger, now=BEGIN, reason="looked at it")
    assert ledger.entries(acts=(Act.SIGNATURE,)) == []
