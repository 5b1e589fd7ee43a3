from pathlib import Path

import pytest

from larder.contracts.errors import InvalidDataError
from larder.contracts.reports import read_report, write_report
from larder.contracts.settings import load_settings


def test_a_result_is_read_as_it_was_written_and_a_damaged_one_names_the_command_that_renews_it(tmp_path: Path):
    settings = load_settings({"LARDER_HOME": str(tmp_path)})
    assert read_report(settings, "train") is None

    path = write_report(settings, "train", {"rows": 3})
    assert read_report(settings, "train") == {"rows": 3}

    path.write_bytes(b"")  # as a power cut may leave it
    with pytest.raises(InvalidDataError, match=r"train\.json is damaged.*Run `larder train` again"):
        read_report(settings, "train")
