"""Modules that an extra of this package brings, where it was installed without that extra."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from larder.contracts.errors import DependencyError

MODULES = {
    "store": ("deltalake", "dill", "feast", "pandas", "polars", "pyarrow", "sqlalchemy"),
    "spark": ("delta", "pyspark"),
    "training": ("fairlearn", "matplotlib", "mlflow", "onnx", "skl2onnx", "sklearn"),
    "monitoring": ("jinja2", "prometheus_client", "scipy"),
    "serving": ("cryptography", "httptools", "onnxruntime", "starlette", "uvicorn"),
    "schedules": ("dagster",),
}
"""Extra -> what is imported of it; a module of several extras stands at the one that needs least beside it."""


def loaded(module: str, name: str) -> Any:
    """`name` out of `module`. Raises what `importing` raises."""
    with importing(name):
        return getattr(import_module(module), name)


@contextmanager
def importing(what: str) -> Iterator[None]:
    """Around imports for `what`: raises DependencyError where an extra is missing."""
    try:
        yield
    except ModuleNotFoundError as problem:
        if remedy := missing_extra(problem):
            raise DependencyError(f"{what} {remedy}") from problem
        raise


def missing_extra(problem: ModuleNotFoundError) -> str | None:
    """What goes behind the name of what was asked for; None when no extra brings the module."""
    module = (problem.name or "").partition(".")[0]
    extra = next((extra for extra, modules in MODULES.items() if module in modules), None)
    if extra is None:
        return None
    return f"needs {module}, which is not installed. Install it with pip install 'larder[{extra}]'."
