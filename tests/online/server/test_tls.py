"""Redis behind TLS, with certificates of the test's own."""

import asyncio
import ssl
from contextlib import closing
from pathlib import Path

import pytest

from larder.contracts.errors import ConfigurationError, OnlineStoreError
from larder.online.reading.reader import FeatureReader
from larder.online.server.connection import connect, connect_async, redis_failures
from larder.online.server.many_keys import multi_get_async
from larder.online.writing.writer import write_records
from tests.online.rows import NOON, plan, view, visits
from tests.online.server.conftest import StartServer
from tests.online.server.tls import make_certificates, tls_proxy


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    folder = tmp_path / "my certificates"
    make_certificates(folder, host="localhost")
    return folder


def answer_of(address: str, *, timeout_seconds: float = 10) -> bool:
    with closing(connect(address, timeout_seconds=timeout_seconds)) as client, redis_failures(client):
        return bool(client.ping())


def test_features_are_written_and_read_over_tls(start_server: StartServer, certificates: Path) -> None:
    with tls_proxy(certificates, start_server().port) as port:
        address = f"rediss://localhost:{port}/0?ssl_ca_certs={certificates / 'ca.pem'}"
        client = connect(address, timeout_seconds=10)

        write_records(client, view(), "shop", visits(("ann", 0, 0, 1.0)))

        assert FeatureReader(plan(view()), client, lambda: NOON).read([{"user": "ann"}]).values == [[1.0]]
        assert asyncio.run(read_async(address)) == [None]
        client.close()


async def read_async(address: str) -> list[bytes | None]:
    client = connect_async(address, timeout_seconds=10)
    try:
        with redis_failures(client):
            return await multi_get_async(client)([b"absent"])
    finally:
        await client.aclose()


def test_a_server_of_another_authority_is_not_trusted(
    start_server: StartServer, certificates: Path, tmp_path: Path
) -> None:
    make_certificates(tmp_path / "other", host="localhost")
    with (
        tls_proxy(certificates, start_server().port) as port,
        pytest.raises(OnlineStoreError, match=r"certificate that is not trusted.*ssl_ca_certs="),
    ):
        answer_of(f"rediss://localhost:{port}/0?ssl_ca_certs={tmp_path / 'other' / 'ca.pem'}")


def test_a_certificate_for_another_host_is_not_trusted_unless_so_asked(
    start_server: StartServer, certificates: Path
) -> None:
    make_certificates(certificates, host="elsewhere")
    with tls_proxy(certificates, start_server().port) as port:
        address = f"rediss://localhost:{port}/0?ssl_ca_certs={certificates / 'ca.pem'}"

        with pytest.raises(OnlineStoreError, match=r"not trusted.*[Hh]ostname mismatch"):
            answer_of(address)
        assert answer_of(f"{address}&ssl_check_hostname=no")


def test_a_server_that_wants_a_certificate_gets_the_one_in_the_address(
    start_server: StartServer, certificates: Path
) -> None:
    with tls_proxy(certificates, start_server().port, verify=ssl.CERT_REQUIRED) as port:
        address = f"rediss://localhost:{port}/0?ssl_ca_certs={certificates / 'ca.pem'}"

        assert answer_of(
            f"{address}&ssl_certfile={certificates / 'client.pem'}&ssl_keyfile={certificates / 'client.key'}"
        )
        with pytest.raises(OnlineStoreError, match="Redis at redis"):
            answer_of(address)


def test_a_server_without_tls_is_one_sentence(start_server: StartServer, certificates: Path) -> None:
    with pytest.raises(OnlineStoreError, match=r"Redis at redis.*(does not speak TLS|does not answer).*redis://"):
        answer_of(
            f"rediss://localhost:{start_server().port}/0?ssl_ca_certs={certificates / 'ca.pem'}", timeout_seconds=1
        )


def test_the_sentinels_and_their_master_are_both_reached_by_tls(start_server: StartServer, certificates: Path) -> None:
    sentinel = start_server("--sentinel", sentinel__monitor=f"shop 127.0.0.1 {start_server().port} 1")
    with tls_proxy(certificates, sentinel.port) as port:
        address = f"rediss+sentinel://localhost:{port}/shop?ssl_ca_certs={certificates / 'ca.pem'}"

        # This master speaks no TLS: the Sentinel was understood, and nothing was sent to the master in the clear.
        with pytest.raises(OnlineStoreError, match=r"does not speak TLS|does not answer: (Timeout|Connection closed)"):
            answer_of(address, timeout_seconds=1)


@pytest.mark.parametrize("kind", ["cluster", "sentinel"])
def test_tls_is_an_option_of_every_kind(kind: str, certificates: Path) -> None:
    address = f"rediss+{kind}://127.0.0.1:1?ssl_ca_certs={certificates / 'ca.pem'}&ssl_check_hostname=no"

    with pytest.raises(OnlineStoreError, match=r"does not answer|no master that the Sentinels know"):
        answer_of(address)
    with pytest.raises(OnlineStoreError, match=r"does not answer|no master that the Sentinels know"):
        asyncio.run(read_async(address))


def test_a_certificate_file_that_is_none_is_found_before_anything_connects(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"ssl_ca_certs names '.*absent\.pem', which is no file"):
        connect(f"rediss://:secret@localhost:1/0?ssl_ca_certs={tmp_path / 'absent.pem'}")
