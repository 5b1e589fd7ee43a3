"""The Dockerfile copies what there is and starts what there is. Images are built by hand (docs/containers.md)."""

import re
import tomllib
from pathlib import Path

import pytest
from click import Context

from larder.cli import larder

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = (ROOT / "infra" / "docker" / "Dockerfile").read_text()
IGNORED = (ROOT / "infra" / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
PYPROJECT, STAGES = (tomllib.loads((ROOT / folder / "pyproject.toml").read_text()) for folder in (".", "infra/stages"))


def copied() -> list[str]:
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source.replace("${USE_CASE}", "flight_delay") for line in lines for source in line.split()[:-1]]


def test_everything_that_is_copied_exists_and_reaches_the_builder():
    allowed = [line.removeprefix("!") for line in IGNORED if line.startswith("!")]

    assert copied() and IGNORED[0] == "*"
    for source in copied():
        assert (ROOT / source).exists(), source
        assert any(source == name or source.startswith(f"{name}/") for name in allowed), source


def test_every_package_of_the_project_is_in_the_image():
    packages = {
        name.rstrip("*")
        for project in (PYPROJECT, STAGES)
        for name in project["tool"]["setuptools"]["packages"]["find"]["include"]
    }

    assert {"larder", "serving"} <= packages <= set(copied())
    assert DOCKERFILE.count("./infra/stages\n") == 2  # installed in both


def test_every_extra_that_is_installed_exists():
    asked = re.findall(r"\.\[([\w,]+)\]", DOCKERFILE) + re.findall(r"^ARG SERVE=(\S+)$", DOCKERFILE, re.MULTILINE)

    assert {name for extras in asked for name in extras.split(",")} <= set(
        PYPROJECT["project"]["optional-dependencies"]
    )


@pytest.mark.parametrize("target", ["serve", "steps"])
def test_each_target_exists_and_starts_a_command(target: str):
    assert re.search(rf"^FROM base AS {target}$", DOCKERFILE, re.MULTILINE)
    (body,) = re.findall(rf"^FROM base AS {target}\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    (command,) = re.findall(r'^CMD \["(\w+)"', body, re.MULTILINE)

    assert command in larder.list_commands(Context(larder))


def test_nothing_in_an_image_runs_as_root():
    assert "\nUSER 10001\n" in DOCKERFILE
