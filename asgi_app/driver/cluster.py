"""Build a driver `Cluster` from the settings, not connected yet.

`cassandra.cluster` is imported inside `build_cluster`. On a Python for which the driver has no event loop the import
fails; the operator must then read a sentence, not a traceback at the import of this package.
"""

import inspect
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError  # noqa: N812 - the name says that it is an exception

import msgspec
from cassandra import ConsistencyLevel, DriverException, UnresolvableContactPoints
from cassandra.auth import PlainTextAuthProvider
from cassandra.connection import ConnectionShutdown
from cassandra.policies import (
    ConstantReconnectionPolicy,
    ConstantSpeculativeExecutionPolicy,
    DCAwareRoundRobinPolicy,
    RetryPolicy,
    SpeculativeExecutionPlan,
    TokenAwarePolicy,
    WriteType,
)
from cassandra.query import tuple_factory

import asgi_app
from asgi_app.settings import ContactPoint, Secret, Settings

if TYPE_CHECKING:
    from cassandra.cluster import Cluster, ExecutionProfile

RowFactory = Callable[[Sequence[str], Sequence[tuple[Any, ...]]], Any]
RetryDecision = tuple[int, int | None]


class Observer(Protocol):
    """Receives events of the driver, in the driver's threads."""

    def statement_retried(self, reason: str) -> None:
        """Count a statement that the driver sends again; `reason` is one of `RETRY_REASONS`."""

    def statement_speculated(self) -> None:
        """Count a statement that got no answer in time, so that the driver asks another node if there is one."""


_RECONNECTION_DELAY = 1.0  # seconds; a node that returns must be in use again within two
_SPECULATIVE_ATTEMPTS = 1  # with three replicas a quorum survives one hung node, so one more node is enough
_READ_AT_ONCE = 64 * 1024
_MOST_RETRIES = 2  # so three nodes are tried; more would only add load to a failing cluster
_REPEATABLE_WRITES = frozenset({WriteType.SIMPLE, WriteType.BATCH, WriteType.UNLOGGED_BATCH, WriteType.BATCH_LOG})
"""The write types that may be repeated after a timeout. Never CAS and COUNTER, even if marked as idempotent."""


class ClusterConfigError(Exception):
    """Raised if the settings can never make a cluster. The message names the variable."""


class ClusterUnreachableError(Exception):
    """Raised if no node can be found or connected to now. A later attempt may succeed."""


def build_cluster(
    settings: Settings,
    row_factory: RowFactory = tuple_factory,
    observer: Observer | None = None,
    connection_class: type[Any] | None = None,
) -> "Cluster":
    """Return a driver `Cluster` for the settings, without a connection to Cassandra.

    Blocks: call it in a worker thread. The driver resolves the host names here, and for Astra fetches the node list
    over HTTPS (bounded by CASSANDRA_CONNECTION_TIMEOUT). It also starts a thread, so the caller must call the cluster's
    `shutdown()`, connected or not.

    `row_factory` is the default for all statements. `observer` is notified of retries. `connection_class` comes from
    `loop_connection.connection_class_for`; without it the driver's own class reads its sockets in a thread.

    Raises ClusterConfigError if the driver cannot run on this Python or a TLS file or the bundle cannot be used, and
    ClusterUnreachableError if no node can be found now.
    """
    driver = _driver()
    profile = _execution_profile(driver, settings, row_factory, observer or _NoObserver())
    arguments = {
        **_connection_arguments(driver, settings),
        "execution_profiles": {driver.EXEC_PROFILE_DEFAULT: profile},
        "connection_class": connection_class or _connection_class(driver),
    }
    if settings.astra_db_secure_bundle_path is not None:
        return _astra_cluster(driver, settings, settings.astra_db_secure_bundle_path, arguments)
    return _plain_cluster(driver, settings, arguments)


class IdempotentRetryPolicy(RetryPolicy):  # type: ignore[misc]  # the driver has no types
    """Retries idempotent statements immediately after a failure, twice at most.

    The driver's own policy sends any statement to the next host after a lost connection or a server error
    (`cassandra/policies.py`, `RetryPolicy.on_request_error`), although the first host may have carried it out: a
    counter would count twice, a condition would fail on its own write. This policy retries after:

    - a read timeout: once on the same host, if enough replicas answered and only the data was missing
    - a write timeout of a plain write or a batch, its log included: once on the next host
    - unavailable: once on the next host
    - a lost connection, an overloaded or bootstrapping node, a server error: twice on the next host

    A statement without the mark `is_idempotent` is never repeated. A batch has its own mark. A statement that fails on
    all these hosts is repeated later: see `asgi_app.runtime.retries`.
    See https://docs.datastax.com/en/datastax-drivers/developing/query-idempotence.html
    """

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer = observer or _NoObserver()

    def on_read_timeout(self, query: Any, *args: Any, **kwargs: Any) -> RetryDecision:
        return self._if_idempotent("read_timeout", query, super().on_read_timeout(query, *args, **kwargs))

    def on_write_timeout(
        self,
        query: Any,
        consistency: int,
        write_type: int,
        required_responses: int,
        received_responses: int,
        retry_num: int,
    ) -> RetryDecision:
        if retry_num or write_type not in _REPEATABLE_WRITES:
            return self.RETHROW, None
        return self._if_idempotent("write_timeout", query, (self.RETRY_NEXT_HOST, None))

    def on_unavailable(self, query: Any, *args: Any, **kwargs: Any) -> RetryDecision:
        return self._if_idempotent("unavailable", query, super().on_unavailable(query, *args, **kwargs))

    def on_request_error(self, query: Any, consistency: int | None, error: Any, retry_num: int) -> RetryDecision:
        if retry_num >= _MOST_RETRIES:
            return self.RETHROW, None
        decision = super().on_request_error(query, consistency, error, retry_num)
        return self._if_idempotent("request_error", query, decision)

    def _if_idempotent(self, reason: str, query: Any, decision: RetryDecision) -> RetryDecision:
        if not getattr(query, "is_idempotent", False):
            return self.RETHROW, None
        if decision[0] in (self.RETRY, self.RETRY_NEXT_HOST):
            self._observer.statement_retried(reason)
        return decision


class _Speculation(ConstantSpeculativeExecutionPolicy):  # type: ignore[misc]  # the driver has no types
    """The driver's policy of speculative execution, observed."""

    def __init__(self, delay: float, max_attempts: int, observer: Observer) -> None:
        super().__init__(delay, max_attempts)
        self._observer = observer

    def new_plan(self, keyspace: str | None, statement: Any) -> "_ObservedPlan":
        return _ObservedPlan(self.delay, self.max_attempts, self._observer)


class _ObservedPlan(SpeculativeExecutionPlan):  # type: ignore[misc]  # the driver has no types
    """The driver's plan of a constant delay that reports each speculative execution.

    The driver asks a plan for the delay before it sends a statement for the first time, and again after each send.
    """

    def __init__(self, delay: float, max_attempts: int, observer: Observer) -> None:
        self._delay = delay
        self._attempts_left = max_attempts
        self._observer = observer
        self._asked = False

    def next_execution(self, host: Any) -> float:
        """Return the seconds until the next attempt, or -1 if there is none."""
        if self._asked:
            self._observer.statement_speculated()
        self._asked = True
        if not self._attempts_left:
            return -1
        self._attempts_left -= 1
        return self._delay


class _NoObserver:
    def statement_retried(self, reason: str) -> None: ...

    def statement_speculated(self) -> None: ...


def _driver() -> ModuleType:
    try:
        from asgi_app.driver.installed_driver import cluster
    except ImportError as error:
        raise ClusterConfigError(str(error)) from error
    module: ModuleType = cluster
    return module


def execution_changes(settings: Settings, row_factory: RowFactory, observer: Observer) -> dict[str, Any]:
    """Return the options of this service's execution profile except load balancing, by the driver's names."""
    return {
        "retry_policy": IdempotentRetryPolicy(observer),
        "consistency_level": ConsistencyLevel.name_to_value[settings.cassandra_consistency],
        "serial_consistency_level": ConsistencyLevel.name_to_value[settings.serial_consistency],
        "request_timeout": settings.request_timeout,
        "row_factory": row_factory,
        "speculative_execution_policy": _speculative_policy(settings.speculative_delay, observer),
    }


def _execution_profile(
    driver: ModuleType, settings: Settings, row_factory: RowFactory, observer: Observer
) -> "ExecutionProfile":
    # Without a data centre the driver uses that of the first contact point that it reaches.
    balancing = TokenAwarePolicy(DCAwareRoundRobinPolicy(settings.cassandra_local_dc or ""))
    return driver.ExecutionProfile(
        load_balancing_policy=balancing, **execution_changes(settings, row_factory, observer)
    )


def _speculative_policy(delay: float, observer: Observer) -> _Speculation | None:
    """Return a policy that asks another node if the first hangs. The driver uses it for idempotent statements only."""
    return _Speculation(delay, _SPECULATIVE_ATTEMPTS, observer) if delay else None


def _connection_class(driver: ModuleType) -> type[Any]:
    """Return the driver's connection class, changed to read more at once and to report when a node closes it early.

    With its 4 KiB a page of 200 kB takes fifty reads. At each read the reading thread releases the interpreter's lock,
    and may wait for it while rows are encoded. Until the page is read, all answers behind it on the connection wait.
    """
    default = driver.Cluster.connection_class

    def close(self: Any) -> None:
        """Close as the driver does, and wake the caller that opens the connection: else it waits until the timeout."""
        default.close(self)
        if not self.connected_event.is_set():
            self.last_error = self.last_error or ConnectionShutdown(f"Connection to {self.endpoint} was closed")
            self.connected_event.set()

    return type(default.__name__, (default,), {"in_buffer_size": _READ_AT_ONCE, "close": close})


def _connection_arguments(driver: ModuleType, settings: Settings) -> dict[str, Any]:
    """Return the arguments of a `Cluster` besides its addresses, without those that this driver does not know."""
    arguments = {
        "protocol_version": settings.protocol_version,
        "allow_beta_protocol_version": False,
        "connect_timeout": settings.cassandra_connection_timeout,
        "control_connection_timeout": settings.cassandra_connection_timeout,
        "idle_heartbeat_interval": settings.cassandra_idle_heartbeat_interval,
        "idle_heartbeat_timeout": _heartbeat_timeout(settings),
        "reconnection_policy": ConstantReconnectionPolicy(_RECONNECTION_DELAY, max_attempts=None),
        "compression": False,
        "prepare_on_all_hosts": False,  # a hung node must not delay a prepare; the driver prepares again on UNPREPARED
        "metrics_enabled": False,
        "monitor_reporting_enabled": False,  # reports to DataStax Insights, a part of DSE only
        "executor_threads": 2,
        "application_name": "asgi-cassandra",
        "application_version": asgi_app.__version__,
    }
    known = inspect.signature(driver.Cluster).parameters  # scylla-driver lacks monitor_reporting_enabled
    return {name: value for name, value in arguments.items() if name in known}


def _heartbeat_timeout(settings: Settings) -> float:
    """Return at most one interval, so that a round of heartbeats ends before the next one starts."""
    timeout, interval = settings.cassandra_connection_timeout, settings.cassandra_idle_heartbeat_interval
    return min(timeout, interval) if interval else timeout


def _plain_cluster(driver: ModuleType, settings: Settings, arguments: dict[str, Any]) -> "Cluster":
    try:
        return driver.Cluster(
            contact_points=[_address(point, settings.cassandra_port) for point in settings.cassandra_hosts],
            port=settings.cassandra_port,
            auth_provider=_login(settings.cassandra_username, settings.cassandra_password),
            ssl_context=_tls_context(settings),
            **arguments,
        )
    except UnresolvableContactPoints as error:
        raise ClusterUnreachableError("CASSANDRA_HOSTS: none of the host names resolves to an address.") from error


def _address(point: ContactPoint, default_port: int) -> tuple[str, int]:
    return point.host, default_port if point.port is None else point.port


def _login(username: str | None, password: Secret | None) -> PlainTextAuthProvider | None:
    return PlainTextAuthProvider(username, password.reveal()) if username and password else None


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if not settings.cassandra_ssl_enabled:
        return None
    context = _context_trusting(settings.cassandra_ssl_ca_certs)
    # The driver passes the node's address to the handshake only if the context checks host names.
    context.check_hostname = settings.ssl_check_hostname
    if settings.cassandra_ssl_certfile is not None:
        _load_client_certificate(context, settings.cassandra_ssl_certfile, settings.cassandra_ssl_keyfile)
    return context


def _context_trusting(ca_certs: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_certs)
    except ssl.SSLError as error:
        raise ClusterConfigError("CASSANDRA_SSL_CA_CERTS: no PEM certificate can be read from this file.") from error
    except OSError as error:  # it existed when the settings were checked
        raise ClusterConfigError(f"CASSANDRA_SSL_CA_CERTS: this file cannot be read ({error.strerror}).") from error


def _load_client_certificate(context: ssl.SSLContext, certfile: Path, keyfile: Path | None) -> None:
    try:
        context.load_cert_chain(certfile, keyfile, password=_no_pass_phrase)
    except ssl.SSLError as error:
        raise ClusterConfigError(
            "CASSANDRA_SSL_CERTFILE and CASSANDRA_SSL_KEYFILE: these two files are not a PEM certificate and its key "
            "without a pass phrase."
        ) from error
    except OSError as error:  # it existed when the settings were checked
        raise ClusterConfigError(
            "CASSANDRA_SSL_CERTFILE and CASSANDRA_SSL_KEYFILE: one of these two files cannot be read "
            f"({error.strerror})."
        ) from error


def _no_pass_phrase() -> str:
    """Return an empty pass phrase for OpenSSL, which would otherwise ask for one on the terminal and wait."""
    return ""


def _astra_cluster(driver: ModuleType, settings: Settings, bundle: Path, arguments: dict[str, Any]) -> "Cluster":
    _check_bundle(bundle)
    cloud = {
        "secure_connect_bundle": str(bundle),
        "use_default_tempdir": True,  # by default the driver unpacks beside the bundle, perhaps read-only
        "connect_timeout": settings.cassandra_connection_timeout,
    }
    by_token = _login("token", settings.astra_db_token)
    login = by_token or _login(settings.astra_db_client_id, settings.astra_db_client_secret)
    try:
        return driver.Cluster(cloud=cloud, auth_provider=login, **arguments)
    except DriverException as error:
        raise ClusterUnreachableError(
            "ASTRA_DB_SECURE_BUNDLE_PATH: the metadata service named in the bundle does not answer; the database may "
            "be hibernated, or the bundle out of date."
        ) from error
    except (OSError, ValueError, KeyError) as error:  # errors of ssl, json and dictionaries that the driver passes on
        raise _bundle_error("its certificates or its database's node list cannot be used") from error


class _BundleConfig(msgspec.Struct):
    """The required part of a bundle's config.json. Without it the driver would look for a host called None."""

    host: str
    port: int | str


def _check_bundle(bundle: Path) -> None:
    """Raise ClusterConfigError unless the file is a bundle. Otherwise the driver raises KeyError or times out."""
    try:
        with ZipFile(bundle) as archive:
            for name in ("ca.crt", "cert", "key"):
                archive.getinfo(name)
            msgspec.json.decode(archive.read("config.json"), type=_BundleConfig)
    except (OSError, BadZipFile, ZlibError, RuntimeError) as error:
        raise _bundle_error("it cannot be read as a zip file") from error
    except (KeyError, msgspec.DecodeError) as error:
        raise _bundle_error("it lacks ca.crt, cert, key or a config.json with host and port") from error


def _bundle_error(reason: str) -> ClusterConfigError:
    return ClusterConfigError(f"ASTRA_DB_SECURE_BUNDLE_PATH: this is no secure connect bundle, {reason}.")
