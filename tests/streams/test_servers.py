"""The same stream under each supported server, over HTTP/1.0, 1.1 and 2."""

from __future__ import annotations

import datetime
import ipaddress
import json
import signal
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from helpers.ports import free_port
from helpers.waiting import wait_until
from process.running import PARSERS, PYTHON, started

from asgi_app.http.formats import FORMATS
from streams.stored import User
from streams.tcp import SMALL_BUFFER, ask, connect

ROWS = 10_000
APPLICATION = "asgi_app.app:app"

SERVERS: Mapping[str, list[str]] = {
    "uvicorn h11": ["uvicorn", "--http", "h11", "--port"],
    "uvicorn httptools": ["uvicorn", "--http", "httptools", "--port"],
    "asgi-cassandra serve": ["asgi_app", "serve", "--port"],
    "hypercorn asyncio": ["hypercorn", "--worker-class", "asyncio", "--bind"],
    "hypercorn trio": ["hypercorn", "--worker-class", "trio", "--bind"],
}

SHORT_STREAMS = {"ASGI_CASSANDRA_STREAM_TIMEOUT": "0.5"}
"""A time limit too short for a hundred thousand rows, twenty at a time."""


@pytest.fixture
def variables(node_address: tuple[str, int], crowded: str) -> Mapping[str, str]:
    """Return the environment variables that select the crowded keyspace."""
    host, port = node_address
    return {"CASSANDRA_HOSTS": host, "CASSANDRA_PORT": str(port), "CASSANDRA_KEYSPACE": crowded}


@pytest.mark.parametrize("server", SERVERS)
def test_streams_are_complete_under(
    server: str, tmp_path: Path, variables: Mapping[str, str], crowd: list[User]
) -> None:
    port = free_port()
    with started(_command(server, port), tmp_path, variables) as program:
        url = f"http://127.0.0.1:{port}"
        program.answers(f"{url}/readyz")
        answer = httpx.get(f"{url}/users/stream?limit={ROWS}", timeout=30)
        assert answer.http_version == "HTTP/1.1"
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.json() == crowd[:ROWS]
        lines = httpx.get(f"{url}/users/stream?limit={ROWS}&format=ndjson", timeout=30).text.splitlines()
        assert len(lines) == ROWS
        _leave_in_the_middle(port, url)
        assert "Traceback" not in program.errors


@pytest.mark.parametrize(
    "server",
    [
        "uvicorn h11",
        "asgi-cassandra serve",
        "hypercorn asyncio",
        "hypercorn trio",
    ],
)
def test_streams_over_http_1_0_have_no_chunks_under(
    server: str, tmp_path: Path, variables: Mapping[str, str], crowd: list[User]
) -> None:
    port = free_port()
    with started(_command(server, port), tmp_path, variables) as program:
        program.answers(f"http://127.0.0.1:{port}/readyz")
        head, body = _over_http_1_0(port, f"limit={ROWS}")
        assert b" 200 " in head.splitlines()[0]
        assert b"chunked" not in head.lower()
        assert httpx.Response(200, content=body).json() == crowd[:ROWS]


@pytest.mark.parametrize("parser", PARSERS)
def test_a_broken_stream_over_http_1_0_ends_with_a_reset(
    parser: str, tmp_path: Path, variables: Mapping[str, str]
) -> None:
    port = free_port()
    with started([*PARSERS[parser], "serve", "--port", str(port)], tmp_path, {**variables, **SHORT_STREAMS}) as program:
        program.answers(f"http://127.0.0.1:{port}/readyz")
        for form in FORMATS:
            body = _until_reset(port, f"/users/stream?fetch_size=20&format={form}")
            assert b"\r\n\r\n" in body, form  # what precedes the reset has arrived
            if form == "ndjson":
                assert json.loads(body.splitlines()[-1])["error"]["code"] == "deadline_exceeded"
        head, body = _over_http_1_0(port, "limit=20&format=csv")
        assert (b" 200 " in head.splitlines()[0], body.count(b"\n")) == (True, 21)


@pytest.mark.parametrize("parser", PARSERS)
def test_a_stream_over_http_1_0_ends_with_a_reset_if_the_service_is_killed(
    parser: str, tmp_path: Path, variables: Mapping[str, str]
) -> None:
    port = free_port()
    with started([*PARSERS[parser], "serve", "--port", str(port)], tmp_path, variables) as program:
        program.answers(f"http://127.0.0.1:{port}/readyz")
        with connect(port, receive_buffer=SMALL_BUFFER) as client:
            ask(client, "/users/stream?format=csv", version="1.0")
            assert client.recv(1000)
            program.end(signal.SIGKILL)
            with pytest.raises(ConnectionResetError):
                _read(client)


def _until_reset(port: int, target: str) -> bytes:
    """Return what arrives of a response over HTTP/1.0 until the server resets the connection."""
    received = bytearray()
    with connect(port) as client, pytest.raises(ConnectionResetError):
        ask(client, target, version="1.0")
        _read(client, received)
    return bytes(received)


def _read(client: socket.socket, received: bytearray | None = None) -> None:
    """Read to the end of the connection. Raises ConnectionResetError if that is a reset."""
    while data := client.recv(1 << 20):
        if received is not None:
            received += data


@pytest.mark.long
@pytest.mark.parametrize("server", SERVERS)
def test_a_broken_stream_is_incomplete_under(server: str, tmp_path: Path, variables: Mapping[str, str]) -> None:
    port = free_port()
    with started(_command(server, port), tmp_path, {**variables, **SHORT_STREAMS}) as program:
        url = f"http://127.0.0.1:{port}"
        program.answers(f"{url}/readyz")
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            httpx.get(f"{url}/users/stream?fetch_size=20", timeout=30)
        assert httpx.get(f"{url}/users?limit=1").status_code == 200


def _command(server: str, port: int) -> list[str]:
    module, *options = SERVERS[server]
    where = f"127.0.0.1:{port}" if module == "hypercorn" else str(port)
    application = [] if module == "asgi_app" else [APPLICATION]
    return [PYTHON, "-m", module, *options, where, *application]


def _with_tls(worker: str, certificate: tuple[Path, Path], port: int, *options: str) -> list[str]:
    """Return the command of hypercorn with TLS, over which it speaks HTTP/2."""
    files = ["--certfile", str(certificate[0]), "--keyfile", str(certificate[1])]
    where = ["--bind", f"127.0.0.1:{port}"]
    return [PYTHON, "-m", "hypercorn", "--worker-class", worker, *files, *options, *where, APPLICATION]


def _over_http_1_0(port: int, query: str) -> tuple[bytes, bytes]:
    """Return the head and the body of a stream over HTTP/1.0 that ends without a reset."""
    received = bytearray()
    with connect(port) as client:
        ask(client, f"/users/stream?{query}", version="1.0")
        _read(client, received)
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    return head, body


def _leave_in_the_middle(port: int, url: str) -> None:
    for _ in range(5):
        with connect(port) as client:
            ask(client, "/users/stream?fetch_size=10")
            assert client.recv(100)
    status = f"{url}/context_manager_safety/status"
    wait_until("no stream is open", lambda: httpx.get(status).json()["open_streams"] == 0)


@pytest.fixture
def certificate(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Write a certificate for 127.0.0.1 and its key, and return the files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    return files


@pytest.mark.parametrize("worker", ["asyncio", "trio"])
def test_streams_are_complete_over_http_2(
    worker: str,
    tmp_path: Path,
    variables: Mapping[str, str],
    crowd: list[User],
    certificate: tuple[Path, Path],
) -> None:
    port = free_port()
    command = _with_tls(worker, certificate, port)
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    with (
        started(command, tmp_path, variables) as program,
        httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trust, http1=False, http2=True, timeout=30) as client,
    ):
        wait_until("it answers", lambda: _is_ready(client))
        answer = client.get(f"/users/stream?limit={ROWS}")
        assert answer.http_version == "HTTP/2"
        assert answer.json() == crowd[:ROWS]
        with httpx.Client(base_url=client.base_url, verify=trust, http1=False, http2=True, timeout=30) as other:
            with other.stream("GET", "/users/stream?fetch_size=10") as left:
                assert next(left.iter_raw())
        status = "/context_manager_safety/status"
        wait_until("no stream is open", lambda: client.get(status).json()["open_streams"] == 0)
        assert client.get(f"/users/stream?limit={ROWS}&format=ndjson").text.count("\n") == ROWS
        assert "Traceback" not in program.errors


@pytest.mark.long
@pytest.mark.parametrize("worker", ["asyncio", "trio"])
def test_a_broken_stream_over_http_2_ends_with_the_idle_connection(
    worker: str, tmp_path: Path, variables: Mapping[str, str], certificate: tuple[Path, Path]
) -> None:
    port = free_port()
    command = _with_tls(worker, certificate, port, "--keep-alive", "1")
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    with (
        started(command, tmp_path, {**variables, **SHORT_STREAMS}),
        httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trust, http1=False, http2=True, timeout=30) as client,
    ):
        wait_until("it answers", lambda: _is_ready(client))
        with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
            client.get("/users/stream?fetch_size=20")
        assert client.get("/users?limit=1").status_code == 200


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
