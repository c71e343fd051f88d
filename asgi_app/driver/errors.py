"""The driver's exceptions → the service's: the one place that knows both.

Forty of the driver's sixty exception classes do not derive from its `DriverException`, and `NoHostAvailable` hides
what the nodes said. So the map names classes, the nearest class in an exception's method resolution order decides, and
a test walks through the driver and fails on a class that the map does not reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import cassandra
from cassandra import connection, metadata, pool, protocol, query, segment

from asgi_app.driver.installed_driver import cluster
from asgi_app.errors import (
    CassandraUnavailable,
    ConsistencyUnavailable,
    DeadlineExceeded,
    InternalError,
    ReadFailed,
    ReadTimeout,
    RejectedByCassandra,
    SchemaMissing,
    ServiceError,
    StatementRefused,
    WriteFailed,
    WriteTimeout,
)

CAS_WRITE_UNKNOWN = 0x1700
"""Error code of native protocol v5 section 9: a lightweight transaction whose outcome the coordinator does not know."""

TRANSLATIONS: Mapping[type[BaseException], type[ServiceError]] = MappingProxyType(
    {
        # No node took the request, or the connection to it broke.
        cassandra.AuthenticationFailed: CassandraUnavailable,
        cassandra.Unauthorized: CassandraUnavailable,
        cassandra.UnresolvableContactPoints: CassandraUnavailable,
        cluster.NoHostAvailable: CassandraUnavailable,
        connection.ConnectionBusy: CassandraUnavailable,
        connection.ConnectionException: CassandraUnavailable,
        connection.ProtocolError: CassandraUnavailable,
        pool.NoConnectionsAvailable: CassandraUnavailable,
        protocol.BadCredentials: CassandraUnavailable,
        protocol.IsBootstrappingErrorMessage: CassandraUnavailable,
        protocol.OverloadedErrorMessage: CassandraUnavailable,
        protocol.ServerError: CassandraUnavailable,
        protocol.TruncateError: CassandraUnavailable,
        protocol.UnauthorizedErrorMessage: CassandraUnavailable,
        segment.CrcException: CassandraUnavailable,
        # A node took it and its replicas did not carry it out.
        cassandra.OperationTimedOut: DeadlineExceeded,
        cassandra.ReadFailure: ReadFailed,
        cassandra.ReadTimeout: ReadTimeout,
        cassandra.Unavailable: ConsistencyUnavailable,
        cassandra.WriteFailure: WriteFailed,
        cassandra.WriteTimeout: WriteTimeout,
        protocol.CDCWriteException: WriteFailed,
        protocol.ClientWriteError: WriteFailed,
        protocol.ReadFailureMessage: ReadFailed,
        protocol.ReadTimeoutErrorMessage: ReadTimeout,
        protocol.UnavailableErrorMessage: ConsistencyUnavailable,
        protocol.WriteFailureMessage: WriteFailed,
        protocol.WriteTimeoutErrorMessage: WriteTimeout,
        # The value bound was one that Cassandra does not take.
        cassandra.InvalidRequest: RejectedByCassandra,
        protocol.InvalidRequestException: RejectedByCassandra,
        # What is left can only come of a mistake in the code that asked.
        cassandra.AlreadyExists: InternalError,
        cassandra.DependencyException: InternalError,
        cassandra.DriverException: InternalError,
        cassandra.FunctionFailure: InternalError,
        cassandra.UnsupportedOperation: InternalError,
        cluster.QueryExhausted: InternalError,
        cluster.UserTypeDoesNotExist: InternalError,
        metadata.NoMurmur3: InternalError,
        protocol.ErrorMessage: InternalError,
        protocol.InternalError: InternalError,
        protocol.NotSupportedError: InternalError,
        protocol.SyntaxException: StatementRefused,
        query.TraceUnavailable: InternalError,
    }
)

_TELLING = (
    ConsistencyUnavailable,
    ReadFailed,
    WriteFailed,
    DeadlineExceeded,
    RejectedByCassandra,
    CassandraUnavailable,
)
"""Of what several nodes said, the first of these says most; a bug that one node answered is not the whole story."""


def translation(error: BaseException) -> type[ServiceError]:
    """The class of the service's error for the driver's, `NoHostAvailable` unwrapped."""
    if isinstance(error, cluster.NoHostAvailable):
        return _most_telling(_causes(error))
    if isinstance(error, protocol.ErrorMessage) and error.code == CAS_WRITE_UNKNOWN:
        return WriteTimeout
    for ancestor in type(error).__mro__:
        if ancestor in TRANSLATIONS:
            return TRANSLATIONS[ancestor]
    return InternalError


def translate_prepare(error: Exception, *, of_served_table: bool) -> ServiceError:
    """The error of preparing a statement.

    The text of a served table's statement comes from its description alone, so that Cassandra can refuse it only
    because table or column are not there. Where the node fails a prepare, the driver 3.30 stumbles over the retry
    policy that it did not give it, and all that is left to see is an AttributeError.
    """
    kind = CassandraUnavailable if isinstance(error, AttributeError) else translation(error)
    if issubclass(kind, RejectedByCassandra | StatementRefused):
        kind = SchemaMissing if of_served_table else StatementRefused
    return kind()


def prepare_may_succeed_elsewhere(error: Exception) -> bool:
    """Return whether another node may prepare what this error ended: the connection was lost, or nothing came."""
    if isinstance(error, cluster.NoHostAvailable):  # the driver has asked all of them
        return False
    return isinstance(error, AttributeError) or translation(error) in (CassandraUnavailable, DeadlineExceeded)


def translate(error: Exception, *, unknown: bool) -> ServiceError:
    """Return the error of running a statement; `unknown` for a write that a node may have carried out."""
    translated = translation(error)()
    if unknown:
        translated.outcome = "unknown"
    return translated


def may_have_run(future: cluster.ResponseFuture, error: BaseException) -> bool:
    """Return whether a node may have carried out a statement that ended with `error`.

    It may, unless every node that was handed it refused: after a lost connection or beside a hung node the refusal of
    the next one proves nothing.
    """
    refused = {host for host, failure in future._errors.items() if _is_refusal(failure)}
    if _is_refusal(error):
        refused.add(future.coordinator_host)
    return not refused.issuperset(future.attempted_hosts)


def _is_refusal(error: BaseException) -> bool:
    """Return whether one node answered that it did nothing."""
    if isinstance(error, cluster.NoHostAvailable):
        return False
    return issubclass(translation(error), ConsistencyUnavailable | RejectedByCassandra)


def _causes(error: cluster.NoHostAvailable) -> Iterable[BaseException]:
    errors = error.errors
    return errors.values() if isinstance(errors, Mapping) else errors or ()


def _most_telling(causes: Iterable[BaseException]) -> type[ServiceError]:
    kinds = {translation(cause) for cause in causes}
    for telling in _TELLING:
        for kind in kinds:
            if issubclass(kind, telling):
                return kind
    return InternalError if kinds else CassandraUnavailable
