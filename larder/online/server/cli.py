"""`larder up` and `larder down`: the Redis that holds the latest values."""

import click

from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings


@click.command()
@click.pass_obj
def up(settings: Settings) -> None:
    """Start the embedded Redis, or check the one in LARDER_REDIS or feature_store.yaml."""
    from rich.console import Console
    from rich.markup import escape

    from larder.online.server.connection import BULK_TIMEOUT_SECONDS, connect, without_password
    from larder.online.server.health import redis_health
    from larder.online.server.project import project_address

    address = project_address(settings)
    health = redis_health(connect(address, timeout_seconds=BULK_TIMEOUT_SECONDS))
    console = Console()
    console.print(f"Redis [bold]{health.version}[/] answers at {escape(without_password(address))}", soft_wrap=True)
    console.print(f"  {health.keys:,} keys, {health.used_memory_mb:.1f} MB, persistence: {health.persistence}")
    for warning in health.warnings:
        console.print(f"  [yellow]{escape(warning)}[/]")


@click.command()
@click.pass_obj
def down(settings: Settings) -> None:
    """Stop the embedded Redis; its data stays on disk."""
    from rich.console import Console

    from larder.online.server.embedded import EMBEDDED, stop

    if settings.redis != EMBEDDED:
        raise ConfigurationError(
            "LARDER_REDIS names a Redis that Larder did not start, so it does not stop it. "
            "Stop it where it was started, or unset LARDER_REDIS."
        )
    Console().print("Redis stopped; its data stays." if stop(settings) else "No embedded Redis was running.")
