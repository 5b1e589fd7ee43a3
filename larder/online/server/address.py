"""Addresses of every kind of Redis: one server, Sentinel or Cluster, with TLS or without.

redis://[user:password@]host[:port][/db]             unix://[user:password@]/path[?db=0]
redis+sentinel://[user:password@]host[:port],...[/service[/db]]
redis+cluster://[user:password@]host[:port],...
rediss:// and so on: the same over TLS. Options follow as a query, by the names that redis-py has for them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.connection import parse_url

from larder.contracts.errors import ConfigurationError
from larder.online.server.connection import without_password

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
DEFAULT_PORTS = {"sentinel": 26379}
REDIS_PORT = 6379
DEFAULT_SERVICE = "mymaster"

PLAIN_OPTIONS = ("db", "username", "password", "client_name", "max_connections", "socket_keepalive")
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
TLS_OPTIONS = (*TLS_FILES, "ssl_check_hostname", "ssl_cert_reqs", "ssl_ciphers")
SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")


@dataclass(frozen=True)
class Address:
    """Where a Redis is and how to log in."""

    kind: str
    """`server`, `socket`, `sentinel` or `cluster`."""
    hosts: tuple[tuple[str, int], ...]
    """The server, or those Sentinels or Cluster nodes that are asked for the others; empty for a socket."""
    service: str
    """What the Sentinels call the server; empty for other kinds."""
    options: Mapping[str, Any]
    """User, password, db, path and TLS, as redis-py's connections take them."""
    sentinel_options: Mapping[str, Any]
    """User, password and TLS of the Sentinels themselves."""

    @property
    def shown(self) -> str:
        """Where it is, without user, password and options."""
        return f"redis+{self.kind}://{','.join(f'{host}:{port}' for host, port in self.hosts)}"

    @property
    def is_tls(self) -> bool:
        return bool(self.options.get("ssl"))


def parsed_address(text: str) -> Address:
    """Raises ConfigurationError, without the password, for what is no address of a Redis."""
    scheme, _, rest = text.partition("://")
    if scheme not in SCHEMES:
        raise _unreadable(text, f"it must begin with one of {', '.join(f'{name}://' for name in SCHEMES)}")
    transport, _, kind = scheme.partition("+")
    try:
        place, names, path = _split(rest) if transport != "unix" else (rest, (), "")
        options = parse_url(f"{transport}://{place}")
        hosts = tuple(_host(item, DEFAULT_PORTS.get(kind, REDIS_PORT)) for item in names)
    except ValueError as problem:
        raise _unreadable(text, str(problem)) from None
    for name in ("connection_class", "host", "port"):
        options.pop(name, None)
    service, db = _service_and_db(text, kind, path)
    options = ({"db": db} if db else {}) | options
    sentinel_options = {
        name.removeprefix("sentinel_"): options.pop(name) for name in SENTINEL_OPTIONS if name in options
    }
    _check_options(text, kind, transport, options, sentinel_options)
    if transport == "rediss":
        tls = {"ssl": True} | {name: value for name, value in options.items() if name in TLS_OPTIONS}
        options, sentinel_options = options | tls, sentinel_options | tls
    kind = kind or ("socket" if transport == "unix" else "server")
    return Address(kind, hosts, service, options, sentinel_options)


def _split(rest: str) -> tuple[str, tuple[str, ...], str]:
    """What redis-py can parse (one host, no path), all hosts, and the path."""
    before, question, query = rest.partition("?")
    place, _, path = before.rpartition("@")[2].partition("/")
    login = before[: before.rindex("@") + 1] if "@" in before else ""
    return f"{login}host{question}{query}", tuple(place.split(",")), path


def _host(text: str, default_port: int) -> tuple[str, int]:
    """Host and port; an IPv6 address stands in brackets."""
    found = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]*)(?::(\d+))?", text)
    if found is None or not 0 < int(found[2] or default_port) < 65536:
        raise ValueError(f"{text!r} is not host:port")
    return found[1].strip("[]") or "localhost", int(found[2] or default_port)


def _service_and_db(text: str, kind: str, path: str) -> tuple[str, int]:
    service, db = "", path.strip("/")
    if kind == "sentinel":
        service, _, db = db.partition("/")
    if db and not db.isdecimal():
        raise _unreadable(text, f"the number of its database is {db!r}")
    return service or (DEFAULT_SERVICE if kind == "sentinel" else ""), int(db or 0)


def _check_options(
    text: str, kind: str, transport: str, options: Mapping[str, Any], sentinel_options: Mapping[str, Any]
) -> None:
    possible = ["path", *PLAIN_OPTIONS, *(TLS_OPTIONS if transport == "rediss" else ())]
    unknown = [name for name in options if name not in possible]
    if sentinel_options and kind != "sentinel":
        unknown += [f"sentinel_{name}" for name in sentinel_options]
    if unknown:
        raise _unreadable(
            text,
            f"{', '.join(unknown)} cannot be set here, only {', '.join(possible[1:])} "
            f"({', '.join(TLS_OPTIONS)} with TLS, {', '.join(SENTINEL_OPTIONS)} with Sentinel)",
        )
    if kind == "cluster" and options.get("db"):
        raise _unreadable(text, "a Cluster has database 0 only")
    for name in TLS_FILES:
        if name in options and not Path(options[name]).is_file():
            raise _unreadable(text, f"{name} names {options[name]!r}, which is no file")


def _unreadable(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The Redis address {without_password(text)!r} cannot be used: {why}. "
        "Set connection_string or LARDER_REDIS, for example to redis://localhost:6379/0."
    )
