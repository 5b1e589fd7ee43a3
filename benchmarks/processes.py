"""Processes that are started, listened to and killed."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

# Importing Feast takes six seconds; the processes of a run are forked from one that has done so.
PROCESSES = multiprocessing.get_context("forkserver")
PREPARED = ["larder.compute.engine", "larder.offline.store", "larder.online.store", "larder.verify.scope", "deltalake"]


def prepare() -> None:
    """Let the process that others are forked from import what they need."""
    PROCESSES.set_forkserver_preload(PREPARED)


@dataclass(frozen=True)
class Worker:
    process: Any
    results: Connection


def started(work: Callable[..., None], *arguments: Any) -> Worker:
    """A process that does `work(connection, *arguments)`."""
    results, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=work, args=(sender, *arguments), daemon=True)
    process.start()
    sender.close()
    return Worker(process, results)


def messages(worker: Worker) -> Iterator[Any]:
    """What the process sends until it ends."""
    with suppress(EOFError):
        while True:
            yield worker.results.recv()
    worker.process.join()


def result(worker: Worker) -> Any:
    """The last thing that the process sends."""
    sent = list(messages(worker))
    if not sent:
        raise SystemExit("A process ended without a result; its error is above.")
    return sent[-1]
