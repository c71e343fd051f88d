"""Translate the driver's exceptions into the service's. No other module knows both.

Forty of the driver's sixty exception classes do not derive from its `DriverException`, and `NoHostAvailable` hides the
nodes' own errors. So `TRANSLATIONS` names classes, and the nearest class in an exception's method resolution order
decides. A test walks through the driver and fails on a class without a translation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import cassandra
from cassandra import connection, metadata, pool, protocol, query, segment

from asgi_app.driver.installed_driver import cluster
from asgi_app.errors import (
    BatchTooLarge,
    CassandraUnavailable,
    ConsistencyUnavailable,
    DeadlineExceeded,
    InternalError,
    NotPermitted,
    ReadFailed,
    ReadTimeout,
    RejectedByCassandra,
    SchemaMissing,
    ServiceError,
    StatementRefused,
    WriteFailed,
    WriteTimeout,
)

_BATCH_TOO_LARGE = 'message="Batch too large"'
"""How Cassandra and ScyllaDB refuse a batch for its size. No code tells this from other refusals."""

CAS_WRITE_UNKNOWN = 0x1700
"""Error code of a lightweight transaction whose outcome the coordinator does not know (protocol v5 section 9)."""


class ParametersChanged(cassandra.DriverException):  # type: ignore[misc]  # the driver has no types
    """The parameters of a statement have other types than when it was prepared: its values mean something else now.

    The table, or a user-defined type, was dropped and created again. Nothing was written.
    """


TRANSLATIONS: Mapping[type[BaseException], type[ServiceError]] = MappingProxyType(
    {
        # No node accepted the request, or the connection to the node broke.
        cassandra.AuthenticationFailed: CassandraUnavailable,
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
        segment.CrcException: CassandraUnavailable,
        # The role of the session lacks a permission.
        cassandra.Unauthorized: NotPermitted,
        protocol.UnauthorizedErrorMessage: NotPermitted,
        # A node accepted the request, and the replicas did not carry it out.
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
        ParametersChanged: SchemaMissing,
        # Cassandra refused a bound value.
        cassandra.InvalidRequest: RejectedByCassandra,
        protocol.InvalidRequestException: RejectedByCassandra,
        # All others come from a mistake in the calling code.
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

_PRECEDENCE = (
    ConsistencyUnavailable,
    ReadFailed,
    WriteFailed,
    DeadlineExceeded,
    RejectedByCassandra,
    NotPermitted,
    CassandraUnavailable,
)
"""If nodes failed differently, the first match wins. An internal error of one node decides only if all have one."""


def translation(error: BaseException) -> type[ServiceError]:
    """Return the class of the service's error for a driver's exception. Looks into `NoHostAvailable`."""
    if isinstance(error, cluster.NoHostAvailable):
        return _first_by_precedence(_causes(error))
    if isinstance(error, protocol.ErrorMessage) and error.code == CAS_WRITE_UNKNOWN:
        return WriteTimeout
    for ancestor in type(error).__mro__:
        if ancestor in TRANSLATIONS:
            return TRANSLATIONS[ancestor]
    return InternalError


def is_driver_error(error: Exception) -> bool:
    """Return whether `error` is an exception of the driver."""
    return any(ancestor in TRANSLATIONS for ancestor in type(error).__mro__)


def translate_prepare(error: Exception, *, of_served_table: bool) -> ServiceError:
    """Return the service's error for a failed prepare.

    A served table's statement is built from the table's declaration alone. So if Cassandra refuses it, the table or a
    column is missing. If a node fails a prepare, driver 3.30 looks for a retry policy that it has not set and raises
    AttributeError, which hides the node's error.
    """
    kind = CassandraUnavailable if isinstance(error, AttributeError) else translation(error)
    if issubclass(kind, RejectedByCassandra | StatementRefused):
        kind = SchemaMissing if of_served_table else StatementRefused
    return kind()


def prepare_may_succeed_elsewhere(error: Exception) -> bool:
    """Return whether another node may prepare a statement after this error: a lost connection, or no answer."""
    if isinstance(error, cluster.NoHostAvailable):  # the driver has already tried every node
        return False
    return isinstance(error, AttributeError) or translation(error) in (CassandraUnavailable, DeadlineExceeded)


_absent = re.compile(r'message="(Undefined (column )?name |unconfigured table |(table|keyspace) \S+ does not exist")')


def names_what_is_absent(error: Exception) -> bool:
    """Return whether Cassandra refused a statement because it has no such keyspace, table or column.

    No code tells this from other refusals, and no bound value stands in these messages.
    """
    return translation(error) is RejectedByCassandra and _absent.search(str(error)) is not None


def translate(error: Exception, *, unknown: bool) -> ServiceError:
    """Return the service's error for a failed statement; `unknown` for a write that a node may have carried out."""
    kind = translation(error)
    if kind is RejectedByCassandra and _BATCH_TOO_LARGE in str(error):
        kind = BatchTooLarge
    translated = kind()
    if unknown:
        translated.outcome = "unknown"
    return translated


def may_have_run(future: cluster.ResponseFuture, error: BaseException) -> bool:
    """Return whether a node may have carried out a statement that ended with `error`.

    False only if every node that was sent the statement refused it. A refusal by one node says nothing about another
    that was sent the statement before and lost its connection or hung.
    """
    refused = {host for host, failure in future._errors.items() if _is_refusal(failure)}
    if _is_refusal(error):
        refused.add(future.coordinator_host)
    return not refused.issuperset(future.attempted_hosts)


def _is_refusal(error: BaseException) -> bool:
    """Return whether a node answered that it did not carry out the statement."""
    if isinstance(error, cluster.NoHostAvailable):
        return False
    if isinstance(error, ParametersChanged):
        return True
    return issubclass(translation(error), ConsistencyUnavailable | NotPermitted | RejectedByCassandra)


def _causes(error: cluster.NoHostAvailable) -> Iterable[BaseException]:
    errors = error.errors
    return errors.values() if isinstance(errors, Mapping) else errors or ()


def _first_by_precedence(causes: Iterable[BaseException]) -> type[ServiceError]:
    # The driver passes a socket error on as it is when it cannot connect to a node.
    kinds = {CassandraUnavailable if isinstance(cause, OSError) else translation(cause) for cause in causes}
    for preferred in _PRECEDENCE:
        for kind in kinds:
            if issubclass(kind, preferred):
                return kind
    return InternalError if kinds else CassandraUnavailable
