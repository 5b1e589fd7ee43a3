"""What `larder replay` says when it cannot begin."""

from pathlib import Path

import pytest

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
