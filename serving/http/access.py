"""Who may ask: whoever shows a token of LARDER_TOKENS; without that setting, everyone."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from larder.contracts.errors import ConfigurationError, LarderError

OPEN = frozenset(("/health", "/ready", "/metrics", "/v2/health/live", "/v2/health/ready"))
"""Paths that tell nothing of the model and its answers; those who watch servers need no token."""
SHORTEST_TOKEN = 16
_SCHEME = b"bearer "


def tokens_of(file: Path) -> list[str]:
    """The tokens of a file: one per line; empty lines and those that begin with # do not count.

    Raises ConfigurationError for a file that cannot be read or holds none, and for a token that is easily guessed.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="ascii").splitlines()]
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not ASCII text"
        raise ConfigurationError(
            f"The tokens in LARDER_TOKENS cannot be read from {file}: {reason}. Write one token per line into it."
        ) from problem
    tokens = [line for line in lines if line and not line.startswith("#")]
    if not tokens:
        raise ConfigurationError(
            f"{file}, named by LARDER_TOKENS, holds no token, so nobody could ask. Write one per line into it, or "
            "unset LARDER_TOKENS to let everyone ask."
        )
    for number, line in enumerate(lines, start=1):
        if line in tokens and len(line) < SHORTEST_TOKEN:
            raise ConfigurationError(
                f"The token on line {number} of {file} has {len(line)} characters, fewer than {SHORTEST_TOKEN}. Write "
                "a longer one, such as `openssl rand -hex 32` gives."
            )
    return tokens


class Access:
    """The tokens of a file, read again when it changes; a change that cannot be used leaves those before in force."""

    def __init__(self, file: Path | None) -> None:
        """Raises ConfigurationError as `tokens_of` does."""
        self._file = file
        self._digests = frozenset[bytes]() if file is None else _digests(file)

    def refresh(self) -> None:
        if self._file is not None:
            try:
                self._digests = _digests(self._file)
            except LarderError:
                return

    def permits(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """`headers` as ASGI gives them: names in lower case."""
        if self._file is None or path in OPEN:
            return True
        shown = next((value for name, value in headers if name == b"authorization"), b"")
        # Digests are compared, so that the time it takes says nothing about a token.
        return shown[: len(_SCHEME)].lower() == _SCHEME and _digest(shown[len(_SCHEME) :].strip()) in self._digests


def _digests(file: Path) -> frozenset[bytes]:
    return frozenset(_digest(token.encode()) for token in tokens_of(file))


def _digest(token: bytes) -> bytes:
    return sha256(token).digest()
