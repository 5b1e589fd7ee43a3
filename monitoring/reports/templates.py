"""The pages' templates: every value escaped, nothing undefined."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from monitoring.reports import formats


def template(name: str) -> Template:
    """The template `name` of this folder, with filters for values as people read them."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": formats.number, "duration": formats.duration, "breakable": _breakable}
    return environment.get_template(name)


def _breakable(name: str) -> Markup:
    """A long name that a narrow screen may break after its underscores."""
    return Markup("_<wbr>").join(name.split("_"))
