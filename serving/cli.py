"""`larder serve` and `larder ask`."""

import socket
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from larder.contracts.objective import CLASSIFICATION
from larder.contracts.settings import Settings

if TYPE_CHECKING:
    from larder.contracts.answer import Answer
    from serving.ask import Asked, Server

HINDSIGHT = (
    "Asked now, about instants that have passed: features may know by now what came of it. How good the model is, "
    "`larder train` and `larder monitor` say."
)


@click.command()
@click.option("--host", help="Address to listen on; default LARDER_HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port, 0 for any free one; default LARDER_PORT.")
@click.option("--fd", type=int, help="Take over this inherited listening socket: a restart that refuses nobody.")
@click.pass_obj
def serve(settings: Settings, host: str | None, port: int | None, fd: int | None) -> None:
    """Answer over HTTP with the champion: POST /predict, GET /ready, /health, /metrics, /model.

    Starts from the frozen bundle, without Feast, MLflow or Spark. A newly promoted champion takes over
    without a restart. SIGTERM answers what is under way and ends.
    """
    from larder.contracts.bundle import champion_bundle
    from larder.contracts.use_case import use_case_name
    from serving.app import create_app
    from serving.http.server import listening_socket, serve_until_terminated
    from serving.online_store import require_online_store

    champion_bundle(settings.bundles, use_case_name(settings))  # without one, no Redis is started for nothing
    require_online_store(settings)
    app = create_app(settings)
    listener = (
        socket.socket(fileno=fd)
        if fd is not None
        else listening_socket(host or settings.host, settings.port if port is None else port)
    )
    bound_host, bound_port = listener.getsockname()[:2]
    click.echo(f"Serving on http://{bound_host}:{bound_port} - GET /model shows a request to try, Ctrl-C ends")
    serve_until_terminated(app, listener)


@click.command()
@click.option("--count", type=click.IntRange(1, 1000), default=8, show_default=True, help="How many real requests.")
@click.pass_obj
def ask(settings: Settings, count: int) -> None:
    """Ask a server about real requests of the label table and show what came of them.

    The requests are those at or after the clock's instant; where there are none, the last ones before it, about which
    the features may know more than they did then. Starts a server for the duration when none runs at
    LARDER_HOST:LARDER_PORT.
    """
    from larder.contracts.answer import Answer
    from larder.contracts.reports import write_report
    from larder.contracts.tables import Lake
    from larder.contracts.use_case import declared, use_case_name
    from serving.ask import asked, labelled_requests, running_server

    answer = declared("serving", Answer, settings)
    at = settings.clock()
    with running_server(settings, use_case_name(settings)) as server:
        fields = [item["name"] for item in server.model["request"]]
        table = Lake(settings.lake).labels(answer.label_table)
        requests = labelled_requests(table, fields, server.model["label"], instant=at, count=count)
        results = asked(server, requests)
    is_hindsight = any(item.at < at for item in requests)
    _print(results, answer, server, is_hindsight=is_hindsight)
    write_report(settings, "ask", _report(results, server, at=at.isoformat(), is_hindsight=is_hindsight))


def _print(results: Sequence["Asked"], answer: "Answer", server: "Server", *, is_hindsight: bool) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    columns = _columns(answer, server.model["task"])
    title = "; ".join(f"{header}: {name}" for header, name in columns.items())
    table = Table("request", *columns, "outcome", "doubt", title=title, box=SIMPLE)
    table.columns[0].min_width = 32
    for item in results:
        shown = [_text(item.answer[name]) for name in columns.values()]
        outcome = item.outcome if answer.decision not in item.answer or item.outcome is None else bool(item.outcome)
        table.add_row(_request_text(item.request), *shown, _text(outcome), _doubt(item.answer))
    console = Console()
    console.print(table)
    median = _latencies(results)["median"]
    console.print(
        f"{len(results)} answers of {server.model['model']} version {server.model['version']}, "
        f"median {median:.1f} ms over HTTP",
        highlight=False,
    )
    if is_hindsight:
        console.print(HINDSIGHT, highlight=False)


def _columns(answer: "Answer", task: str) -> dict[str, str]:
    """Header -> name in the answer, of what was predicted."""
    if task == CLASSIFICATION:
        return {"probability": answer.probability, "decision": answer.decision}
    return {"prediction": answer.prediction}


def _request_text(request: Mapping[str, object]) -> str:
    """Names on one line, instants and quantities on a second, dimmed one."""
    from rich.markup import escape

    names = [str(value) for value in request.values() if isinstance(value, str)]
    others = [_short(value) for value in request.values() if not isinstance(value, str) and value is not None]
    return "\n".join([escape(" ".join(names)), f"[dim]{', '.join(others)}[/]"] if others else [escape(" ".join(names))])


def _doubt(answer: Mapping[str, Any]) -> str:
    """Why to be careful with the answer; empty when nothing was absent and confidence is high."""
    absent = len(answer["missing"]) + len(answer["stale"])
    notes = ["low confidence"] if answer["confidence"] == "low" else []
    return ", ".join([*notes, f"{absent} of {len(answer['features'])} absent"] if absent else notes)


def _short(value: object) -> str:
    from datetime import datetime

    if isinstance(value, datetime):
        return f"{value:%d %b %H:%M}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _text(value: bool | float | None) -> str:
    if value is None:
        return "unknown"
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:.5g}"


def _report(results: Sequence["Asked"], server: "Server", *, at: str, is_hindsight: bool) -> dict[str, Any]:
    return {
        "at": at,
        "is_hindsight": is_hindsight,
        "url": server.url,
        "model_version": server.model["version"],
        "answers": [{"request": item.request, "answer": item.answer, "outcome": item.outcome} for item in results],
        "latency_ms": _latencies(results),
    }


def _latencies(results: Sequence["Asked"]) -> dict[str, float]:
    latencies = sorted(item.latency_ms for item in results)
    if not latencies:
        return {"median": 0.0, "p99": 0.0}
    last_percent = min(len(latencies) - 1, int(len(latencies) * 0.99))
    return {"median": statistics.median(latencies), "p99": latencies[last_percent]}
