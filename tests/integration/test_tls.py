"""TLS of every client library is reachable, and checks the certificate.

What ends the encryption stands in front of a real server, so that the servers need no certificates of their own; MySQL
has them: test_mysql_faults.py.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from asyncdq.drivers import from_url
from asyncdq.drivers.rabbitmq import RabbitMQDriver
from asyncdq.errors import AsyncdqError, ConnectionLost
from asyncdq.message import Message

POSTGRES_ASKS_FOR_TLS = bytes.fromhex("0000000804d2162f")

Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """The files of a certificate for localhost that nobody else has signed, and of its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    made = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    files = (f"{tmp_path}/cert.pem", f"{tmp_path}/key.pem")
    subprocess.run([*made.split(), "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


async def passed(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(65536):
        sink.write(chunk)
        await sink.drain()
    sink.close()


@asynccontextmanager
async def encrypted(host: str, port: int, certificate: tuple[str, str], *, asks: bool) -> AsyncIterator[int]:
    """The port at which this server is reached by TLS alone; `asks`: in the way of PostgreSQL, after a question."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        ends = [writer]
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                if asks:
                    assert await reader.readexactly(8) == POSTGRES_ASKS_FOR_TLS
                    writer.write(b"S")
                    await writer.start_tls(context)
                behind = await asyncio.open_connection(host, port)
                ends.append(behind[1])
                await asyncio.gather(passed(reader, behind[1]), passed(behind[0], writer))
        finally:
            for end in ends:
                end.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=None if asks else context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in serving:
            if task is not None:
                task.cancel()
        await asyncio.gather(*filter(None, serving), return_exceptions=True)
        await asyncio.sleep(0)  # transports that were aborted close their sockets now, not when the loop is gone


@contextmanager
def shaking_hands(certificate: tuple[str, str], *, asks: bool) -> Generator[int]:
    """The port of one who encrypts, and then neither reads nor writes: a server of asyncio would say goodbye."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    held: list[socket.socket] = []

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):  # until the test is over
            while True:
                connection, _ = listener.accept()
                if asks:
                    assert connection.recv(8) == POSTGRES_ASKS_FOR_TLS
                    connection.sendall(b"S")
                held.append(context.wrap_socket(connection, server_side=True))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in held:
                each.close()


def securely(url: str, port: int, certificate: str | None) -> str:
    """The URL as its users write it for TLS, which believes this certificate alone, or those of the system."""
    parts, here = urlsplit(url), f"localhost:{port}"
    said = dict(parse_qsl(parts.query))
    own, _, _ = parts.netloc.rpartition("@")
    netloc = f"{own}@{here}" if own else here
    match parts.scheme:
        case "redis":
            scheme, more = "rediss", {"ssl_ca_certs": certificate}
        case "postgresql":
            # Without a file of its own, libpq's rules would look for one in the home folder.
            scheme, more = "postgresql", {"sslmode": "verify-full", "sslrootcert": certificate or ssl_bundle()}
        case "amqp":
            scheme, more = "amqps", {"cafile": certificate}
        case _:
            scheme, more, netloc = "sqs", {"endpoint_url": f"https://{here}"}, parts.netloc
    query = urlencode(said | {key: value for key, value in more.items() if value is not None})
    return parts._replace(scheme=scheme, netloc=netloc, query=query).geturl()


def ssl_bundle() -> str:
    """A file with certificates that somebody else has signed."""
    return ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"


def place_of(url: str) -> tuple[str, int]:
    parts = urlsplit(dict(parse_qsl(urlsplit(url).query)).get("endpoint_url", url))
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


@pytest.mark.parametrize("queue_url", ["redis", "postgres", "rabbitmq", "sqs"], indirect=True)
async def test_tls_is_switched_on_in_the_url_and_a_certificate_that_is_not_believed_is_refused(
    queue_url: str, certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = queue_url.startswith("postgresql")
    async with encrypted(*place_of(queue_url), certificate, asks=asks) as port:
        with pytest.raises(AsyncdqError, match=r"(?i)certificate"):
            async with from_url(securely(queue_url, port, None)) as refused:
                await refused.setup()
        monkeypatch.setenv("AWS_CA_BUNDLE", certificate[0])
        async with from_url(securely(queue_url, port, certificate[0])) as driver:
            await driver.setup()
            await driver.enqueue([Message("a", "work", b"body")])
            [delivery] = await driver.dequeue({"work": 1}, 1, 60.0)
    assert (delivery.id, delivery.body) == ("a", b"body")


@pytest.mark.parametrize("queue_url", ["redis", "postgres", "rabbitmq", "sqs"], indirect=True)
async def test_who_encrypts_and_then_says_nothing_is_given_up_in_time(
    queue_url: str, certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", certificate[0])
    with shaking_hands(certificate, asks=queue_url.startswith("postgresql")) as port:
        async with asyncio.timeout(6):
            with pytest.raises(ConnectionLost):
                await enqueued_once(securely(queue_url, port, certificate[0]))


async def enqueued_once(url: str) -> None:
    async with from_url(url, timeout=1.0) as driver:
        await driver.enqueue([Message("a", "work", b"body")])


@pytest.mark.parametrize("queue_url", ["rabbitmq"], indirect=True)
async def test_a_file_that_is_missing_while_it_is_replaced_is_an_outage(
    queue_url: str, certificate: tuple[str, str], tmp_path: Path
) -> None:
    trusted = shutil.copy(certificate[0], tmp_path / "trusted.pem")
    server = urlsplit(queue_url)
    async with (
        encrypted(server.hostname or "", server.port or 0, certificate, asks=False) as port,
        RabbitMQDriver(securely(queue_url, port, str(trusted))) as driver,
    ):
        shutil.move(trusted, tmp_path / "old.pem")
        driver._here().consuming.discard()
        with pytest.raises(ConnectionLost, match="cafile"):
            await driver.dequeue({"work": 1}, 1, 60.0)
        shutil.copy(certificate[0], trusted)
        assert await driver.dequeue({"work": 1}, 1, 60.0) == []
