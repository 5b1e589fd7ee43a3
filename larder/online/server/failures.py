"""What went wrong with Redis, in one sentence that says what to do."""

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ConnectionError,
    InvalidResponse,
    MovedError,
    NoPermissionError,
    TimeoutError,
    TryAgainError,
)
from redis.sentinel import MasterNotFoundError

from larder.contracts.errors import first_line

SERVERS_PAGE = "docs/redis_servers.md"

NO_ANSWER = "Start it (`larder up` does if it is embedded), or correct connection_string or LARDER_REDIS"

SIGNS = (
    ("CERTIFICATE_VERIFY_FAILED", "shows a certificate that is not trusted", "Name its CA with ?ssl_ca_certs=<file>"),
    ("WRONG_VERSION_NUMBER", "does not speak TLS", "Use redis:// instead of rediss://"),
    ("UNEXPECTED_EOF", "does not speak TLS", "Use redis:// instead of rediss://"),
    ("CERTIFICATE_REQUIRED", "wants a certificate", "Name one with ?ssl_certfile=<file>&ssl_keyfile=<file>"),
    ("Protocol Error", "is no Redis", "Set connection_string or LARDER_REDIS to the address of one"),
    ("READONLY", "is a read-only replica", "Write to its master, which `larder up` names"),
    ("WRONGTYPE", "holds a key of Larder with another type of value", "Look at it with TYPE and delete it"),
    ("OOM ", "has reached its maxmemory and takes no more", "Raise maxmemory or delete what is not needed"),
    ("Cluster mode is not enabled", "is no Cluster", "Use redis:// instead of redis+cluster://"),
    ("unknown command `SENTINEL`", "is no Sentinel", "Use redis:// instead of redis+sentinel://"),
    ("cluster cannot be connected", "does not answer", "Start it, or correct connection_string or LARDER_REDIS"),
)
"""Words of an error, what they mean and what to do; for errors that redis-py has no class of its own for."""


def failure_sentence(problem: Exception, address: str) -> str:
    """`problem` is an error of redis-py; `address` says where, without the password."""
    if isinstance(problem, AskError | TryAgainError) and address.startswith("redis+cluster"):
        meaning, remedy = "is moving these keys to another node", "Try again"
    else:
        meaning, remedy = _meaning(problem)
    if remedy == NO_ANSWER and address.startswith("rediss"):
        remedy += "; one without TLS never answers rediss://, but redis://"
    return f"Redis at {address} {meaning}: {_shown(problem)}. {remedy}."


def _meaning(problem: Exception) -> tuple[str, str]:
    text = str(problem)
    if isinstance(problem, MasterNotFoundError):
        return "has no master that the Sentinels know", "Check the service's name and that the Sentinels answer"
    if isinstance(problem, AuthenticationError | AuthenticationWrongNumberOfArgsError | AuthorizationError):
        return "refuses the user or the password", "Set connection_string or LARDER_REDIS to redis://user:password@host"
    if isinstance(problem, NoPermissionError) or "can't run this command" in text:
        return "refuses what this user may not do", f"Grant the rules of {SERVERS_PAGE} with ACL SETUSER"
    if isinstance(problem, BusyLoadingError):
        return "is still loading its data", "Wait and try again"
    if isinstance(problem, MovedError | ClusterCrossSlotError):
        return "is one node of a Cluster", "Use redis+cluster:// instead of redis://"
    if isinstance(problem, InvalidResponse):
        return "is no Redis", "Set connection_string or LARDER_REDIS to the address of one"
    for sign, meaning, remedy in SIGNS:
        if sign.lower() in text.lower():
            return meaning, remedy
    if isinstance(problem, ConnectionError | TimeoutError):
        return "does not answer", NO_ANSWER
    return "refused", "Look at its log, or set connection_string or LARDER_REDIS to another"


def _shown(problem: Exception) -> str:
    if isinstance(problem, MasterNotFoundError):  # its text shows the Sentinels' clients with all their options
        return str(problem).partition(" : ")[0]
    return first_line(problem)
