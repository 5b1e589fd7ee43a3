"""`larder migrate-online`."""

from collections import Counter
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore


@click.command("migrate-online")
@click.option("--from", "source", metavar="ADDRESS", help="The Redis of Feast's store; by default the same one.")
@click.option("--delete-old", is_flag=True, help="Delete each migrated row from Feast's layout.")
@click.pass_obj
def migrate_online(settings: Settings, source: str | None, delete_old: bool) -> None:
    """Copy online values from Feast's own Redis layout into packed records.

    Reads the project's rows of all online views, and of on-demand views that are stored. A later value that Redis
    holds already stays, so the command may be interrupted, repeated, and run beside `feast materialize`. Rows dated
    in the future stay where they are. Without --delete-old nothing of Feast's layout is changed.
    """
    from larder.online.layouts.migration import delete_migrated, migrated, totals
    from larder.online.server.connection import BULK_TIMEOUT_SECONDS, connect
    from larder.online.store import configured_address
    from larder.registry import feature_store

    store = feature_store(settings)
    _require_packed_layout(store)
    address = configured_address(store.config.online_store, settings)
    target = connect(address, timeout_seconds=BULK_TIMEOUT_SECONDS)
    old = connect(source or address, timeout_seconds=BULK_TIMEOUT_SECONDS)
    console, counts = Console(), dict[str, Counter[str]]()
    with console.status("Looking for rows of Feast's layout ...") as status:
        for batch in migrated(store, old, target, now=settings.clock()):
            view = batch.view.view.name
            deleted = delete_migrated(old, batch) if delete_old else 0
            counts[view] = counts.get(view, Counter()) + totals(batch, deleted)
            status.update(f"{view}: {counts[view]['written']:,} written ...")
    _print_counts(console, counts)


def _require_packed_layout(store: "FeatureStore") -> None:
    from larder.online.store import RedisOnlineStoreConfig

    online = store.config.online_store
    if not isinstance(online, RedisOnlineStoreConfig) or online.layout != "larder":
        raise ConfigurationError(
            f"The online store of project {store.project!r} is {online.type} with layout "
            f"{getattr(online, 'layout', 'of its own')!r}; there is nothing to migrate to. Set online_store.type to "
            "larder.online.RedisOnlineStore and leave `layout` out."
        )


def _print_counts(console: Console, counts: dict[str, Counter[str]]) -> None:
    if not counts:
        console.print("Redis holds no row of this project in Feast's layout.")
        return
    table = Table("view", "written", "later here", "in the future", "deleted from Feast's layout")
    for column in table.columns[1:]:
        column.justify = "right"
    for view, found in sorted(counts.items()):
        table.add_row(view, *(f"{found[name]:,}" for name in ("written", "kept", "future", "deleted")))
    console.print(table)
