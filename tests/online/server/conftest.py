"""Real Redis servers of every kind, on free loopback ports; each ends with its test, by its process id."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from larder.online.server.embedded import redis_server_binary

SLOTS = 16_384
PATIENCE_SECONDS = 60.0


@dataclass
class Server:
    """A redis-server that a test may freeze, kill and start again."""

    folder: Path
    port: int
    options: dict[str, str]
    flags: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def client(self) -> redis.Redis:
        """As the administrator."""
        return redis.Redis(port=self.port, socket_timeout=10, retry=Retry(NoBackoff(), 0), protocol=2)

    def start(self) -> "Server":
        self.launch()
        with closing(self.client()) as client:
            wait_until(lambda: self._is_dead() or _answers(client))
        assert not self._is_dead(), (self.folder / "log").read_text()
        return self

    def launch(self) -> None:
        """Start without waiting until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "redis.conf"
        if not config.exists():  # a Sentinel writes its own state into it
            lines = {
                "port": str(self.port),
                "bind": "127.0.0.1",
                "dir": f'"{self.folder}"',
                "save": '""',
            } | self.options
            config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([redis_server_binary(), config, *self.flags], stdout=log, stderr=log)

    def _is_dead(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


StartServer = Callable[..., Server]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers with options, written with `_` for `-` and `__` for a space; they end with the test."""
    started: list[Server] = []

    def start(*flags: str, **options: object) -> Server:
        settings = {name.replace("__", " ").replace("_", "-"): str(value) for name, value in options.items()}
        started.append(Server(tmp_path / f"redis {len(started)}", free_port(), settings, flags))
        return started[-1].start()

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Server]]:
    """Three primaries without replicas, a third of the slots each."""
    options = {"cluster-enabled": "yes", "cluster-node-timeout": "2000", "cluster-require-full-coverage": "no"}
    nodes = [Server(tmp_path / f"node {number}", free_port(), dict(options)) for number in range(3)]
    try:
        for number, node in enumerate(nodes):
            node.start()
            with closing(node.client()) as client:
                client.execute_command("CLUSTER", "ADDSLOTS", *range(number * SLOTS // 3, (number + 1) * SLOTS // 3))
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        wait_until(lambda: all(_is_complete(node) for node in nodes))
        yield nodes
    finally:
        for node in nodes:
            node.kill()


def cluster_address(nodes: list[Server]) -> str:
    return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}"


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def free_port() -> int:
    """A port that is free together with the one of a Cluster node's bus, 10,000 above it."""
    while True:
        port = random.randrange(11_000, 21_000)  # no bus of another node, and below what the system gives to clients
        try:
            for number in (port, port + 10_000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        return port


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.AuthenticationError:
        return True
    except redis.exceptions.RedisError:
        return False


def _is_complete(node: Server) -> bool:
    with closing(node.client()) as client:
        slots = client.execute_command("CLUSTER", "SLOTS")
        return len(slots) == 3 and b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO")
