"""A configured cluster becomes a session, or one sentence that says why not and which setting to look at.

The driver's `NoHostAvailable` says "Unable to connect to any servers" and keeps the reason of each node beside it. The
sentences made of these are for operators, in the log and on the terminal: they may name nodes, so no client sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from cassandra import AuthenticationFailed, DriverException, OperationTimedOut
from cassandra.connection import ConnectionException, ConnectionShutdown, ProtocolError
from cassandra.protocol import ErrorMessage

from asgi_app.driver.cluster import ClusterUnreachableError
from asgi_app.settings import Settings


def connect(cluster: Any, settings: Settings) -> Any:
    """Return a session of a cluster that `build_cluster` made. Blocks, so call it in a worker thread.

    Raises ClusterUnreachableError with a sentence where no node takes the connection. Shutting the cluster down is for
    the caller.
    """
    from asgi_app.driver.installed_driver import (
        cluster as driver,  # here, because it fails on a Python without an event loop
    )

    try:
        return cluster.connect()
    except driver.NoHostAvailable as error:
        raise ClusterUnreachableError(
            explain(
                error,
                local_dc=settings.cassandra_local_dc,
                datacenters={node.datacenter for node in cluster.metadata.all_hosts() if node.datacenter},
                astra=settings.astra_db_secure_bundle_path is not None,
            )
        ) from error


def explain(error: Any, *, local_dc: str | None = None, datacenters: Collection[str] = (), astra: bool = False) -> str:
    """Return one sentence for a `NoHostAvailable`: the most useful of the reasons that its nodes gave.

    `datacenters` are those that the cluster turned out to have, none where no node answered. `astra` says that the
    addresses came from a secure connect bundle.
    """
    if local_dc is not None and datacenters and local_dc not in datacenters:
        return _wrong_datacenter(local_dc, datacenters)
    causes = error.errors if isinstance(error.errors, Mapping) else {}
    for applies, sentence in _REASONS:
        nodes = [str(node) for node, cause in causes.items() if applies(cause)]
        if nodes:
            return sentence.format(nodes=", ".join(nodes), **_VARIABLES[astra])
    return _nobody([str(node) for node in causes], astra)


def _wrong_datacenter(local_dc: str, datacenters: Collection[str]) -> str:
    found = ", ".join(f"'{name}'" for name in sorted(datacenters))
    noun = "data centre" if len(datacenters) == 1 else "data centres"
    return f"CASSANDRA_LOCAL_DC is '{local_dc}'; the cluster has the {noun} {found}."


def _nobody(nodes: list[str], astra: bool) -> str:
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
"""The settings that a sentence names, by whether the cluster is Astra's."""


def _says(*texts: str) -> Callable[[BaseException], bool]:
    """Match a cause by its text: the driver makes errors of its own of those of sockets and of TLS, and keeps the text.

    The texts are OpenSSL's reason codes, Python's `ssl` messages, and the driver's.
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
        "{nodes} closes the connection before it is ready; check {tls}, and that Cassandra runs there.",
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
"""Causes and their sentences. The first that any node gave counts: what an operator must change comes first."""
