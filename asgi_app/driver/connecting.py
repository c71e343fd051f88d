"""Connect a configured cluster, and explain the driver's errors to an operator in one sentence.

The driver's `NoHostAvailable` says only "Unable to connect to any servers"; it keeps each node's reason in `errors`. A
sentence names the setting to look at. It may name nodes too, so it goes to the log or the terminal, never to a client.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from cassandra import (
    AuthenticationFailed,
    DriverException,
    InvalidRequest,
    OperationTimedOut,
    RequestExecutionException,
    Unauthorized,
)
from cassandra.connection import ConnectionException, ConnectionShutdown, ProtocolError
from cassandra.protocol import ErrorMessage

from asgi_app.driver.cluster import ClusterUnreachableError
from asgi_app.settings import Settings


def connect(cluster: Any, settings: Settings) -> Any:
    """Return a session of a cluster that `build_cluster` made. Blocks: call it in a worker thread.

    Raises ClusterUnreachableError, with a sentence, if no node accepts the connection. The caller shuts the cluster
    down in any case.
    """
    try:
        return cluster.connect()
    except _no_host_available() as error:
        raise ClusterUnreachableError(
            explain_unreachable(
                error,
                local_dc=settings.cassandra_local_dc,
                datacenters={node.datacenter for node in cluster.metadata.all_hosts() if node.datacenter},
                astra=settings.astra_db_secure_bundle_path is not None,
            )
        ) from error


def explain(error: Exception, place: str) -> str | None:
    """Return a sentence for an error of the driver that ended a command; None for an error of another kind.

    `place` is the address of Cassandra in the words of the sentence.
    """
    if isinstance(error, _no_host_available()):
        return explain_unreachable(error)
    if isinstance(error, OperationTimedOut):
        return f"Cassandra at {place} did not answer in time; run the command again. Nothing is written twice."
    if isinstance(error, Unauthorized):
        return f"Cassandra at {place} does not permit this to the configured role ({server_message(error)})."
    if isinstance(error, InvalidRequest):
        return _refused_sentence(server_message(error), place)
    if isinstance(error, (RequestExecutionException, DriverException)):
        return f"Cassandra at {place} could not do this ({server_message(error)})."
    return None


def explain_unreachable(
    error: Any, *, local_dc: str | None = None, datacenters: Collection[str] = (), astra: bool = False
) -> str:
    """Return a sentence for a `NoHostAvailable`, from the most useful reason that a node gave.

    `datacenters` are the cluster's data centres, empty if no node answered. `astra` says that the addresses came from a
    secure connect bundle.
    """
    if local_dc is not None and datacenters and local_dc not in datacenters:
        return _wrong_datacenter(local_dc, datacenters)
    causes = error.errors if isinstance(error.errors, Mapping) else {}
    for applies, sentence in _REASONS:
        nodes = [str(node) for node, cause in causes.items() if applies(cause)]
        if nodes:
            return sentence.format(nodes=", ".join(nodes), **_VARIABLES[astra])
    return _no_answer([str(node) for node in causes], astra)


def _no_host_available() -> type[Exception]:
    """Return the driver's exception. It is imported here because the import fails on a Python without an event loop."""
    from asgi_app.driver.installed_driver import cluster

    return cluster.NoHostAvailable  # type: ignore[no-any-return]


_missing = re.compile(r"unconfigured|does not exist|doesn't exist|unknown (keyspace|table|column)", re.IGNORECASE)
"""Matches Cassandra's messages about a missing keyspace, table or column."""


def _refused_sentence(message: str, place: str) -> str:
    refusal = f"Cassandra at {place} refuses this ({message})."
    if _missing.search(message):
        return f"{refusal} If the keyspace or the tables are missing, run the command schema."
    return refusal


def server_message(error: Exception) -> str:
    """Return the server's message, without the dump of fields that the driver puts around it."""
    text = str(error)
    _, quote, message = text.partition('message="')
    return message.removesuffix('"') if quote else text


def _wrong_datacenter(local_dc: str, datacenters: Collection[str]) -> str:
    found = ", ".join(f"'{name}'" for name in sorted(datacenters))
    noun = "data centre" if len(datacenters) == 1 else "data centres"
    return f"CASSANDRA_LOCAL_DC is '{local_dc}'; the cluster has the {noun} {found}."


def _no_answer(nodes: list[str], astra: bool) -> str:
    at = f" at {', '.join(nodes)}" if nodes else ""
    return f"No Cassandra node answers{at}; check {_VARIABLES[astra]['where']}, and that Cassandra runs."


_VARIABLES = {
    False: {
        "where": "CASSANDRA_HOSTS and CASSANDRA_PORT",
        "login": "CASSANDRA_USERNAME and CASSANDRA_PASSWORD",
        "authority": "CASSANDRA_SSL_CA_CERTS",
        "identity": "CASSANDRA_SSL_CERTFILE and CASSANDRA_SSL_KEYFILE",
        "tls": "CASSANDRA_SSL_ENABLED and CASSANDRA_PORT",
        "port": "CASSANDRA_PORT",
    },
    True: {
        "where": "ASTRA_DB_SECURE_BUNDLE_PATH",
        "login": "ASTRA_DB_TOKEN, or ASTRA_DB_CLIENT_ID and ASTRA_DB_CLIENT_SECRET",
        "authority": "ASTRA_DB_SECURE_BUNDLE_PATH",
        "identity": "ASTRA_DB_SECURE_BUNDLE_PATH",
        "tls": "ASTRA_DB_SECURE_BUNDLE_PATH",
        "port": "ASTRA_DB_SECURE_BUNDLE_PATH",
    },
}
"""The settings that a sentence names, by whether the addresses came from Astra's bundle."""


def _says(*texts: str) -> Callable[[BaseException], bool]:
    """Return a test of whether a cause contains one of `texts`.

    The driver wraps errors of sockets and of TLS in its own and keeps the text. So the texts are OpenSSL's reason
    codes, messages of Python's `ssl`, and the driver's.
    """
    return lambda cause: any(text in str(cause) for text in texts)


def _is(*kinds: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda cause: isinstance(cause, kinds)


def _has_timed_out(cause: BaseException) -> bool:
    return isinstance(cause, (OperationTimedOut, TimeoutError)) or "timed out" in str(cause)


_REASONS: tuple[tuple[Callable[[BaseException], bool], str], ...] = (
    (_says("requires authentication"), "Cassandra at {nodes} asks for a user name and a password; set {login}."),
    (_is(AuthenticationFailed), "Cassandra refuses this user name and password; check {login}."),
    (
        _says("IP address mismatch", "Hostname mismatch", "doesn't match"),
        "The certificate of {nodes} does not name that address; give the node one that does, or see "
        "ASGI_CASSANDRA_SSL_CHECK_HOSTNAME.",
    ),
    (
        _says("certificate has expired", "certificate is not yet valid"),
        "The certificate of {nodes} has expired or is not valid yet; renew it, or correct the clocks ({authority} "
        "says whom to trust).",
    ),
    (
        _says("CERTIFICATE_VERIFY_FAILED"),
        "The certificate of {nodes} is not signed by an authority that is trusted here; check {authority}.",
    ),
    (
        _says("CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA", "HANDSHAKE_FAILURE"),
        "{nodes} does not accept the certificate of this service, or demands one; check {identity}.",
    ),
    (
        _says("[SSL", "EOF occurred"),
        "{nodes} does not speak TLS as it is expected to; check {tls}, and {identity} where it demands a certificate.",
    ),
    (
        _says("protocol version 21", r"b'\x15\x03"),  # the first byte of a TLS alert, read as the version of a frame
        "{nodes} speaks TLS, which is not expected of it; check {tls}.",
    ),
    (
        _says("explicitly set client protocol_version", "unsupported protocol version", "Beta version of the protocol"),
        "Cassandra at {nodes} does not speak this version of its protocol; check ASGI_CASSANDRA_PROTOCOL_VERSION.",
    ),
    (_is(ProtocolError), "What listens at {nodes} does not speak Cassandra's native protocol; check {port}."),
    (
        _is(ConnectionShutdown, ConnectionResetError),
        "{nodes} closes the connection before it is ready; check {tls}, {identity} where it demands a certificate, and "
        "that Cassandra runs there.",
    ),
    (
        _has_timed_out,
        "{nodes} does not answer within CASSANDRA_CONNECTION_TIMEOUT; check {where}, the network between, and that "
        "Cassandra runs.",
    ),
    (
        _is(ConnectionException, ErrorMessage, DriverException),
        "Cassandra at {nodes} answers, and takes no connection; it may be starting or overloaded, as its log says.",
    ),
)
"""Tests of a cause, and their sentences. The first match of any node wins: what an operator must change comes first."""
