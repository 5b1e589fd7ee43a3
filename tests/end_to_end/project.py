"""A project in a folder of its own, driven by the commands that a user would type."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larder.contracts.settings import Settings, load_settings

CHECKOUT = Path(__file__).parent.parent.parent
STAGES = ("pipelines", "feature_repo", "training", "serving")


@dataclass(frozen=True)
class Project:
    home: Path
    clock: str

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LARDER_")}
        return kept | {
            "LARDER_HOME": str(self.home),
            "LARDER_CLOCK": self.clock,
            "LARDER_SPARK_MEMORY": "2g",
            "LARDER_PORT": "8699",
            "COLUMNS": "160",
            # The steps are short: the quick compiler alone is faster than the quick one and then the good one.
            "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1",
        }

    @property
    def settings(self) -> Settings:
        return load_settings(self.environment)

    def larder(self, *arguments: str, code: int = 0) -> str:
        """Run `larder ...` and return what it printed; its exit code must be `code`."""
        return self._output([sys.executable, "-m", "larder", *arguments], code)

    def feast(self, *arguments: str) -> str:
        """Run `feast -c <feature_repo> ...` from a folder that is not the project's."""
        feast = str(Path(sys.executable).parent / "feast")
        return self._output([feast, "-c", str(self.home / "feature_repo"), *arguments], 0)

    def report(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.settings.state / "run_report.json").read_text())
        return content

    def _output(self, command: list[str], code: int) -> str:
        done = subprocess.run(
            command, env=self.environment, cwd=self.home.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


@contextmanager
def project(source: Path, home: Path, *, clock: str) -> Iterator[Project]:
    """A copy of the use case files below `source`, with its Redis stopped at the end."""
    for stage in STAGES:
        (home / stage).mkdir(parents=True)
        for path in (source / stage).iterdir():
            if path.name == "feature_store.yaml" or (source / "feature_repo" / path.name).is_file():
                shutil.copy(path, home / stage)
    made = Project(home, clock)
    made.settings.state.mkdir()
    # JARs that an earlier run of this checkout fetched are used again.
    jars = CHECKOUT / ".larder" / "ivy"
    jars.mkdir(parents=True, exist_ok=True)
    (made.settings.state / "ivy").symlink_to(jars, target_is_directory=True)
    try:
        yield made
    finally:
        made.larder("down")
