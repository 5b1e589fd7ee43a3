"""README and docs show what exists."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from larder.cli import larder
from larder.contracts.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
COMMANDS = set(larder.list_commands(None))  # type: ignore[arg-type]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_larder_command_that_a_page_names_exists(page: Path):
    named = set(re.findall(r"(?:^|`)larder ([a-z][a-z-]+)", page.read_text(), re.MULTILINE))

    assert named <= COMMANDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path):
    links = re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_a_page_names_exists(page: Path):
    named = set(re.findall(r"\bLARDER_[A-Z_]+\b", page.read_text()))

    assert named <= {item.metadata.get("variable", f"LARDER_{item.name.upper()}") for item in fields(Settings)}


def test_the_walk_through_shows_the_files_that_the_tests_run():
    page = ROOT / "docs" / "use_your_own_data.md"
    files = [*(ROOT / "tests" / "second_use_case").rglob("*.py"), ROOT / "tests" / "training" / "solder.py"]
    sources = [path.read_text() for path in files]

    shown = blocks(page, "python")

    assert shown and all(any(block in source for source in sources) for block in shown)


def test_the_stores_of_the_readme_can_be_imported():
    from importlib import import_module

    (section,) = blocks(ROOT / "README.md", "yaml")

    for store in yaml.safe_load(section).values():
        module, name = store["type"].rsplit(".", 1)
        assert hasattr(import_module(module), name) and hasattr(import_module(module), name + "Config")
