"""Who may ask a server, where LARDER_TOKENS names a file of tokens."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings
from serving.ask import running_server
from serving.http.access import Access, tokens_of
from tests.serving.conftest import serving

ONE, OTHER = "0123456789abcdef-one", "0123456789abcdef-other"
CLOSED = ("/model", "/v1/models/returns", "/v2", "/v2/models/returns", "/nowhere")


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text(f"# of the shop\n{ONE}\n\n")
    return file


@pytest.fixture
def guarded(settings: Settings, promote: Any, materialize: Any, tokens: Path) -> Iterator[Any]:
    materialize()
    promote("1")
    with serving(replace(settings, tokens=tokens)) as client:
        yield client


def status(port: int, path: str, authorization: str | None, body: bytes | None = None) -> int:
    headers = {"Content-Type": "application/json"} | ({"Authorization": authorization} if authorization else {})
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("POST" if body else "GET", path, body, headers)
        response = connection.getresponse()
        response.read()
        return response.status


def test_who_shows_no_token_is_told_how_and_gets_nothing(guarded: Any, known: dict[str, Any]):
    refused = guarded.ask(known)

    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert "Authorization: Bearer <token>" in refused.text
    assert {status(guarded.port, path, None) for path in CLOSED} == {401}
    assert status(guarded.port, "/v1/models/returns:predict", None, b"{}") == 401


@pytest.mark.parametrize("shown", [f"Bearer {OTHER}", f"Bearer {ONE}x", f"Basic {ONE}", ONE, "Bearer", "Bearer \u00e9"])
def test_what_is_no_token_is_refused(guarded: Any, shown: str):
    assert status(guarded.port, "/model", shown) == 401


def test_who_shows_a_token_is_answered(guarded: Any, known: dict[str, Any]):
    body = json.dumps({"rows": [known]}).encode()

    assert status(guarded.port, "/predict", f"Bearer {ONE}", body) == 200
    assert status(guarded.port, "/predict", f"bearer  {ONE}", body) == 200
    assert status(guarded.port, "/model", f"Bearer {ONE}") == 200
    assert status(guarded.port, "/nowhere", f"Bearer {ONE}") == 404


def test_who_watches_servers_needs_no_token(guarded: Any):
    paths = ("/health", "/ready", "/metrics", "/v2/health/live", "/v2/health/ready")

    assert {guarded.get(path).status for path in paths} == {200}


def test_a_new_token_counts_and_one_that_was_taken_out_no_longer_does(guarded: Any, tokens: Path):
    tokens.write_text(OTHER)
    deadline = time.monotonic() + 20
    while status(guarded.port, "/model", f"Bearer {OTHER}") != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)

    assert status(guarded.port, "/model", f"Bearer {ONE}") == 401


def test_a_file_that_became_useless_changes_nothing(tokens: Path):
    access = Access(tokens)
    headers = [(b"authorization", f"Bearer {ONE}".encode())]

    tokens.write_text("")
    access.refresh()
    assert access.permits("/predict", headers)
    tokens.unlink()
    access.refresh()
    assert access.permits("/predict", headers) and not access.permits("/predict", [])


def test_without_a_file_everyone_may_ask():
    assert Access(None).permits("/predict", [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no token"),
        ("# none\n\n", "holds no token"),
        (f"{ONE}\nshort\n", "token on line 2 .* has 5 characters"),
        ("schl\u00fcssel-schl\u00fcssel", "not ASCII"),
    ],
)
def test_a_file_that_would_guard_nothing_is_refused(tmp_path: Path, content: str, said: str):
    (tmp_path / "tokens").write_text(content)

    with pytest.raises(ConfigurationError, match=said) as refused:
        Access(tmp_path / "tokens")
    assert ONE not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"cannot be read from .*tokens: No such file"):
        tokens_of(tmp_path / "tokens")


def test_larder_ask_shows_the_first_token_and_prints_it_nowhere(settings: Settings, guarded: Any, tokens: Path):
    own = replace(settings, tokens=tokens, host="127.0.0.1", port=guarded.port)

    with running_server(own, "returns") as server:
        assert server.model["model"] == "returns"
        assert ONE not in repr(server)
