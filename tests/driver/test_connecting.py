"""The sentence that says why Cassandra cannot be reached and names the setting, mostly with real sockets."""

from __future__ import annotations

import functools
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cassandra import AuthenticationFailed, DriverException, OperationTimedOut, Unauthorized
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException
from helpers.ports import free_port
from helpers.scripted_node import (
    AUTHENTICATE,
    ERROR,
    SUPPORTED,
    Peer,
    ScriptedNode,
    error,
    frame,
    scripted_node,
    supported,
    tls_contexts,
)
from helpers.service import client_of, settings_for
from helpers.waiting import in_thread
from helpers.wire import string

from asgi_app.app import create_app
from asgi_app.cli.server import log_config
from asgi_app.driver.cluster import ClusterUnreachableError, build_cluster
from asgi_app.driver.connecting import connect, explain_unreachable
from asgi_app.driver.loop_connection import LoopConnection
from asgi_app.driver.session import own_connection_class
from asgi_app.settings import Secret

pytestmark = pytest.mark.anyio

BAD_CREDENTIALS, IS_BOOTSTRAPPING, PROTOCOL_ERROR = 0x0100, 0x1002, 0x000A

LOGIN: dict[str, Any] = {"cassandra_username": "app", "cassandra_password": Secret("wrong")}


async def why(port: int, host: str = "127.0.0.1", own_connections: bool = True, **changes: Any) -> str:
    """Connect in vain, and return the sentence.

    The connections are those that the service has on this event loop, or those of the commands.
    """
    settings = settings_for((host, port), "ks", **changes)
    connection_class = own_connection_class() if own_connections else None
    make = functools.partial(build_cluster, settings, connection_class=connection_class)
    cluster = await in_thread(make)
    try:
        with pytest.raises(ClusterUnreachableError) as caught:
            await in_thread(connect, cluster, settings)
    finally:
        await in_thread(cluster.shutdown)
    return str(caught.value)


@contextmanager
def listening(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """Run a server that calls `behave` with each connection, and yield its port."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                stream, _ = listener.accept()
                behave(stream)
                stream.close()

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextmanager
def answering(behave: Callable[[Peer], None], **options: Any) -> Iterator[ScriptedNode]:
    """Run a node that calls `behave` with each connection before its handshake, until the client leaves."""

    def serve() -> None:
        while True:
            try:
                peer = node.accept()
            except ssl.SSLError:
                continue  # the client did not like the certificate
            except OSError:
                return
            with suppress(EOFError, OSError):
                behave(peer)

    with scripted_node(**options) as node:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield node
        finally:
            with suppress(OSError):
                node._listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def starting_up(*answers: tuple[int, bytes]) -> Callable[[Peer], None]:
    """Return the behaviour of a node that answers OPTIONS as usual, and all else with `answers`."""

    def behave(peer: Peer) -> None:
        for opcode, body in ((SUPPORTED, supported()), *answers):
            peer.socket.sendall(frame(peer.version, peer.read().stream, opcode, body))
        peer.read()

    return behave


DEMANDS_LOGIN = (AUTHENTICATE, string("org.apache.cassandra.auth.PasswordAuthenticator"))


async def test_no_listener() -> None:
    port = free_port()
    assert await why(port) == (
        f"No Cassandra node answers at 127.0.0.1:{port}; check CASSANDRA_HOSTS and CASSANDRA_PORT, and that Cassandra "
        "runs."
    )


async def test_login_required_but_not_set() -> None:
    with answering(starting_up(DEMANDS_LOGIN)) as node:
        assert await why(node.port) == (
            f"Cassandra at 127.0.0.1:{node.port} asks for a user name and a password; set CASSANDRA_USERNAME and "
            "CASSANDRA_PASSWORD."
        )


async def test_a_wrong_password() -> None:
    refused = (ERROR, error(BAD_CREDENTIALS, "Provided username app and/or password are incorrect"))
    with answering(starting_up(DEMANDS_LOGIN, refused)) as node:
        sentence = await why(node.port, **LOGIN)
    assert sentence == "Cassandra refuses this user name and password; check CASSANDRA_USERNAME and CASSANDRA_PASSWORD."


async def test_a_version_of_the_protocol_that_the_node_does_not_speak() -> None:
    def behave(peer: Peer) -> None:
        refused = error(PROTOCOL_ERROR, "Invalid or unsupported protocol version (5); highest is 4")
        peer.socket.sendall(frame(4, int.from_bytes(peer.socket.recv(9)[2:4], "big"), ERROR, refused))
        peer.read()

    with answering(behave) as node:
        sentence = await why(node.port, protocol_version=5)
    assert sentence.endswith("check ASGI_CASSANDRA_PROTOCOL_VERSION.")


async def test_a_node_that_is_still_starting() -> None:
    with answering(starting_up((ERROR, error(IS_BOOTSTRAPPING, "Cannot read from a bootstrapping node")))) as node:
        assert (await why(node.port)).startswith(f"Cassandra at 127.0.0.1:{node.port} answers, and takes no connection")


async def test_the_port_of_a_web_server() -> None:
    def answer(stream: socket.socket) -> None:
        stream.recv(100)
        stream.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with listening(answer) as port:
        sentence = f"What listens at 127.0.0.1:{port} does not speak Cassandra's native protocol; check CASSANDRA_PORT."
        assert await why(port) == sentence


async def test_a_port_that_says_nothing() -> None:
    with scripted_node() as node:
        sentence = await why(node.port, cassandra_connection_timeout=0.5)
    assert sentence.startswith(
        f"127.0.0.1:{node.port} does not answer within CASSANDRA_CONNECTION_TIMEOUT; check CASSANDRA_HOSTS and "
        "CASSANDRA_PORT"
    )


@pytest.mark.parametrize("own", [True, False], ids=["the service", "a command"])
async def test_a_port_that_closes(own: bool) -> None:
    """As a balancer without a node behind it does, and a port that demands TLS without an alert."""
    with listening(lambda stream: stream.recv(100)) as port:
        sentence = await why(port, own_connections=own)
    assert sentence.startswith(f"127.0.0.1:{port} closes the connection before it is ready; check ")


# --- TLS


def tls(folder: Path, **changes: Any) -> dict[str, Any]:
    return {"cassandra_ssl_enabled": True, "cassandra_ssl_ca_certs": folder / "node.crt", **changes}


async def test_tls_to_a_port_that_speaks_none() -> None:
    def answer(stream: socket.socket) -> None:
        stream.recv(1000)
        stream.sendall(frame(4, 0, ERROR, error(PROTOCOL_ERROR, "Invalid or unsupported protocol version (22)")))

    with listening(answer) as port:
        sentence = await why(port, cassandra_ssl_enabled=True)
    assert f"127.0.0.1:{port} does not speak TLS" in sentence
    assert "CASSANDRA_SSL_ENABLED" in sentence


async def test_no_tls_to_a_port_that_demands_it() -> None:
    def alert(stream: socket.socket) -> None:
        stream.recv(100)
        stream.sendall(b"\x15\x03\x03\x00\x02\x02\x46" + bytes(3))  # RFC 8446 section 6: protocol_version, fatal

    with listening(alert) as port:
        assert await why(port) == (
            f"127.0.0.1:{port} speaks TLS, which is not expected of it; check CASSANDRA_SSL_ENABLED and CASSANDRA_PORT."
        )


def read_on(peer: Peer) -> None:
    peer.read()


async def test_a_certificate_of_another_authority(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    tls_contexts(tmp_path / "other")
    with answering(read_on, tls=tls_contexts(tmp_path)[0]) as node:
        sentence = await why(node.port, **tls(tmp_path / "other"))
    assert sentence.endswith("is not signed by an authority that is trusted here; check CASSANDRA_SSL_CA_CERTS.")


async def test_a_certificate_of_another_address(tmp_path: Path) -> None:
    with answering(read_on, tls=tls_contexts(tmp_path)[0], host="127.0.0.2") as node:
        sentence = await why(node.port, "127.0.0.2", **tls(tmp_path))
    assert sentence.startswith(f"The certificate of 127.0.0.2:{node.port} does not name that address")
    assert "ASGI_CASSANDRA_SSL_CHECK_HOSTNAME" in sentence


async def test_a_certificate_that_has_expired(tmp_path: Path) -> None:
    with answering(read_on, tls=tls_contexts(tmp_path, expired=True)[0]) as node:
        sentence = await why(node.port, **tls(tmp_path))
    assert f"The certificate of 127.0.0.1:{node.port} has expired" in sentence


async def test_a_node_that_demands_a_certificate(tmp_path: Path) -> None:
    context, _ = tls_contexts(tmp_path)
    context.load_verify_locations(tmp_path / "node.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    with answering(read_on, tls=context) as node:
        assert "CASSANDRA_SSL_CERTFILE and CASSANDRA_SSL_KEYFILE" in await why(node.port, **tls(tmp_path))


@pytest.mark.loops("asyncio", "uvloop")
async def test_a_node_that_resets_after_its_alert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first send fails with a reset, and the alert that explains it is still unread."""
    context, _ = tls_contexts(tmp_path)
    context.load_verify_locations(tmp_path / "node.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    has_reset = threading.Event()
    errors: list[str] = []

    def refuse(listener: socket.socket) -> None:
        stream, _ = listener.accept()
        with suppress(ssl.SSLError):
            context.wrap_socket(stream, server_side=True)
        stream.close()
        has_reset.set()

    def send_before_reading(connection: LoopConnection) -> None:
        has_reset.wait(10)
        for _ in range(2):  # where the node has not reset yet, the first record makes it do so
            connection._outgoing.append(b"x")
            connection._send_all()
        errors.append(str(connection.last_error))

    monkeypatch.setattr(LoopConnection, "_begin_reading", send_before_reading)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=(listener,))
        thread.start()
        sentence = await why(listener.getsockname()[1], **tls(tmp_path))
        thread.join()
    assert "CERTIFICATE_REQUIRED" in errors[0]
    assert "CASSANDRA_SSL_CERTFILE and CASSANDRA_SSL_KEYFILE" in sentence


# --- a real node, and what no client sees


async def test_a_data_centre_that_is_not_there(node_address: tuple[str, int]) -> None:
    host, port = node_address
    assert await why(port, host, cassandra_local_dc="dc9") == (
        "CASSANDRA_LOCAL_DC is 'dc9'; the cluster has the data centre 'datacenter1'."
    )


async def test_reason_is_logged_and_not_sent_to_clients(
    node_address: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings_for(node_address, "ks", cassandra_local_dc="elsewhere"))
    with caplog.at_level(logging.WARNING, "asgi_app"):
        async with app.router.lifespan_context(app), client_of(app) as client:
            answers = [await client.get(path) for path in ("/users", "/readyz", "/health")]
    assert "CASSANDRA_LOCAL_DC is 'elsewhere'; the cluster has the data centre 'datacenter1'." in caplog.text
    assert [answer.status_code for answer in answers[:2]] == [503, 503]
    for answer in answers:
        assert not {word for word in ("elsewhere", "datacenter1", node_address[0]) if word in answer.text}


# --- what cannot be made on demand


def unreached(*causes: Exception) -> NoHostAvailable:
    return NoHostAvailable("Unable to connect to any servers", {f"10.0.0.{n}:9042": e for n, e in enumerate(causes)})


@pytest.mark.parametrize(
    ("causes", "astra", "named"),
    [
        ([AuthenticationFailed("Failed to authenticate")], True, "ASTRA_DB_TOKEN"),
        ([OSError(113, "No route to host")], True, "ASTRA_DB_SECURE_BUNDLE_PATH"),
        ([OSError(113, "No route to host")], False, "CASSANDRA_HOSTS"),
        ([OSError(None, "Last error: timed out")], False, "CASSANDRA_CONNECTION_TIMEOUT"),
        ([Unauthorized("no permission on system.local")], False, "10.0.0.0:9042 answers"),
        ([ConnectionException("Failed to initialize new connection")], False, "10.0.0.0:9042 answers"),
        ([DriverException("Reconnecting")], False, "10.0.0.0:9042 answers"),
        ([OperationTimedOut(), AuthenticationFailed("no")], False, "CASSANDRA_PASSWORD"),
        ([ConnectionRefusedError(), OperationTimedOut()], False, "10.0.0.1:9042 does not answer within"),
        ([], False, "No Cassandra node answers; check CASSANDRA_HOSTS"),
    ],
)
def test_most_useful_reason_is_the_sentence(causes: list[Exception], astra: bool, named: str) -> None:
    sentence = explain_unreachable(unreached(*causes), astra=astra)
    assert named in sentence
    assert sentence.endswith(".")


def test_several_data_centres_are_all_named() -> None:
    sentence = explain_unreachable(NoHostAvailable("none", ["10.0.0.1"]), local_dc="dc9", datacenters={"dc2", "dc1"})
    assert sentence == "CASSANDRA_LOCAL_DC is 'dc9'; the cluster has the data centres 'dc1', 'dc2'."


async def test_server_does_not_log_the_traceback_of_a_failed_connect(caplog: pytest.LogCaptureFixture) -> None:
    await why(free_port())
    found = [record for record in caplog.records if record.name == "cassandra.cluster" and record.levelname == "ERROR"]
    assert found  # the driver logs it, so the filter has something to do
    keeps = log_config("info", "console")["filters"]["already_logged"]["()"]()
    assert not any(map(keeps.filter, found))
