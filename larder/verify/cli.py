"""`larder verify`."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from random import Random
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape

from larder.contracts.errors import DifferenceError, InvalidDataError
from larder.contracts.reports import write_report
from larder.contracts.settings import Settings
from larder.verify.causes import MEANINGS, Cause

if TYPE_CHECKING:
    from larder.verify.counts import ViewComparison
    from larder.verify.proof import Checked
    from larder.verify.scope import Scope
    from larder.verify.views import VerifiedView

HELP = """Compare every online value with its offline value at the clock's instant.

All entities of all online views, a bounded number at a time. The offline side is the as-of join that training uses.
Prints counts per view, and per feature with the cause wherever something differs; exit code 2 on any difference, and
where the table of a view cannot be read, which does not keep the others from being compared.

\b
Causes:
""" + "\n".join(f"  {cause:<8} {meaning}" for cause, meaning in MEANINGS.items())


@click.command(help=HELP)
@click.option("--repair", is_flag=True, help="Put right in Redis what differs, say what it was, and compare again.")
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Compare N random entities of each view.")
@click.option("--seed", type=int, help="Of the sample; default: another one each time.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="Compare again and again until SIGTERM or Ctrl+C.",
)
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="With --every: show Prometheus metrics there.")
@click.option("--metrics-host", default="127.0.0.1", show_default=True, help="Where the metrics are shown.")
@click.pass_obj
def verify(
    settings: Settings,
    repair: bool,
    sample: int | None,
    seed: int | None,
    every: float | None,
    metrics_port: int | None,
    metrics_host: str,
) -> None:
    _check_options(repair=repair, sample=sample, seed=seed, every=every, metrics_port=metrics_port)
    proof, console = Proof(settings, sample, Random(seed)), Console()
    if every is not None:
        _watch(proof, console, every, metrics_host, metrics_port)
    elif repair:
        _repair(proof, console)
    else:
        _prove(proof, console)


class Proof:
    """Both sides, opened, and how much of them is compared."""

    def __init__(self, settings: Settings, sample: int | None, seeds: Random) -> None:
        from larder.online.server.connection import BULK_TIMEOUT_SECONDS, connect
        from larder.online.store import packed_address
        from larder.registry import feature_store
        from larder.verify.views import verified_views
        from larder.views import stored_on_demand_views, stored_outputs_warning

        self.started = time.monotonic()
        self.settings = settings
        store = feature_store(settings)
        address = packed_address(store.config.online_store, settings)
        self.client = connect(address, timeout_seconds=BULK_TIMEOUT_SECONDS)
        self.views = verified_views(store)
        self.not_compared = [stored_outputs_warning(view.name) for view in stored_on_demand_views(store)]
        self._sample, self._seeds = sample, seeds

    def scope(self) -> "Scope":
        """What is compared in one round: everything, or a new sample."""
        from larder.verify import scope

        if self._sample is None:
            return scope.everything(self.client, clock=self.settings.clock)
        seed = self._seeds.getrandbits(63)
        return scope.sample(self.client, clock=self.settings.clock, entities=self._sample, seed=seed)


def _check_options(
    *, repair: bool, sample: int | None, seed: int | None, every: float | None, metrics_port: int | None
) -> None:
    if repair and every is not None:
        raise click.UsageError("--every only watches; use --repair without it.")
    if seed is not None and sample is None:
        raise click.UsageError("--seed chooses the entities of --sample; give both.")
    if metrics_port is not None and every is None:
        raise click.UsageError("--metrics-port shows what --every finds; give both.")


def _prove(proof: Proof, console: Console) -> None:
    _conclude(proof, console, _compared(proof, proof.scope(), console))


def _repair(proof: Proof, console: Console) -> None:
    from larder.verify.console import print_comparison, print_repairs
    from larder.verify.repair import repaired

    counts: dict[str, Counter[Cause]] = {view.name: Counter() for view in proof.views}

    def repair(view: "VerifiedView", checked: "Checked") -> None:
        counts[view.name] += repaired(proof.client, checked)

    scope = proof.scope()
    found = _compared(proof, scope, console, repair)
    print_comparison(console, found, title="Found before the repair")
    for name, causes in counts.items():
        print_repairs(console, causes, view=name)
    _conclude(proof, console, _compared(proof, scope, console))


def _watch(proof: Proof, console: Console, seconds: float, host: str, port: int | None) -> None:
    from larder.verify.console import print_round
    from larder.verify.watch import Metrics, served, watch

    def one_round() -> "list[ViewComparison]":
        views = _compared(proof, proof.scope(), console)
        print_round(console, views, at=proof.settings.clock())
        return views

    metrics = Metrics()
    with nullcontext() if port is None else served(metrics, host=host, port=port) as shown:
        if shown is not None:
            console.print(f"Metrics at http://{host}:{shown}/metrics", highlight=False)
        watch(
            one_round,
            metrics,
            seconds=seconds,
            failed=lambda problem: console.print(f"[red]{escape(problem.message)}[/]"),
        )


def _compared(
    proof: Proof, scope: "Scope", console: Console, *also: "Callable[[VerifiedView, Checked], None]"
) -> "list[ViewComparison]":
    """The comparison of each view, with the number of entities on the screen meanwhile."""
    from larder.verify.scope import compared

    entities: Counter[str] = Counter()
    with console.status("Comparing") as status:

        def seen(view: "VerifiedView", checked: "Checked") -> None:
            entities[view.name] += len(checked.keys)
            status.update(f"Comparing {view.name}: {entities[view.name]:,} entities")
            for call in also:
                call(view, checked)

        return list(compared(proof.views, scope, seen))


def _conclude(proof: Proof, console: Console, views: "list[ViewComparison]") -> None:
    """Print, write the report. Raises DifferenceError on any difference, InvalidDataError for what was not compared."""
    from larder.verify.console import as_json, print_comparison

    instant = proof.settings.clock()
    print_comparison(console, views, title=f"Online = offline at {instant}?")
    for said in proof.not_compared:
        console.print(f"[yellow]{escape(said)}[/]", highlight=False)
    compared, different = sum(view.compared for view in views), sum(view.different for view in views)
    content = {"at": instant.isoformat(), "compared": compared, "different": different}
    seconds = round(time.monotonic() - proof.started, 2)
    write_report(proof.settings, "verify", content | {"views": [as_json(view) for view in views], "seconds": seconds})
    unread = [view.view for view in views if view.error]
    apart = f" {len(unread)} of {len(views)} views could not be compared: {', '.join(unread)}." if unread else ""
    if different:
        raise DifferenceError(
            f"{different:,} of {compared:,} online values differ from their offline value at {instant}.{apart} "
            "The causes are above; `feast materialize-incremental` or `larder features` brings Redis up to the tables, "
            "`larder verify --repair` puts right what they cannot."
        )
    if unread:
        raise InvalidDataError(
            f"All {compared:,} online values that could be compared equal their offline value, but{apart} "
            "The causes are above; put their tables right and verify again."
        )
    console.print(f"[green]All {compared:,} online values equal their offline value.[/]", highlight=False)
