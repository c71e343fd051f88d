"""Every exception class of the driver has its place among ours."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import cassandra
import pytest
from cassandra import cluster, connection, protocol

from asgi_app.driver.errors import (
    CAS_WRITE_UNKNOWN,
    TRANSLATIONS,
    is_driver_error,
    may_have_run,
    prepare_may_succeed_elsewhere,
    translate,
    translate_prepare,
    translation,
)
from asgi_app.errors import (
    CassandraUnavailable,
    ConsistencyUnavailable,
    DeadlineExceeded,
    InternalError,
    ReadFailed,
    RejectedByCassandra,
    SchemaMissing,
    ServiceError,
    StatementRefused,
    WriteTimeout,
)

NOT_USED = ("cassandra.cqlengine", "cassandra.graph", "cassandra.datastax.graph")
"""The object mapper and the graph client; the service imports neither."""

NOT_IMPORTABLE = (
    "cassandra.io.eventletreactor",
    "cassandra.io.geventreactor",
    "cassandra.io.twistedreactor",
    "cassandra.io.asyncorereactor",
    "cassandra.metrics",
    "cassandra.numpy_parser",
    "cassandra.cmurmur3",
)
"""Modules that need packages which the service does not install, and one that the wheels of 3.29.3 build wrongly."""


def driver_exceptions() -> Iterator[type[BaseException]]:
    for module_info in pkgutil.walk_packages(cassandra.__path__, "cassandra."):
        if module_info.name.startswith(NOT_USED) or module_info.name in NOT_IMPORTABLE:
            continue
        yield from exceptions_of(importlib.import_module(module_info.name))


def exceptions_of(module: ModuleType) -> Iterator[type[BaseException]]:
    for _, found in inspect.getmembers(module, inspect.isclass):
        if issubclass(found, BaseException) and found.__module__.startswith("cassandra"):
            yield found


def test_every_driver_exception_is_translated() -> None:
    found = set(driver_exceptions()) | set(exceptions_of(cassandra))
    assert len(found) > 45
    unmapped = {kind for kind in found if not any(ancestor in TRANSLATIONS for ancestor in kind.__mro__)}
    assert unmapped == set()


def no_host(*causes: Exception) -> cluster.NoHostAvailable:
    return cluster.NoHostAvailable(
        "10.0.0.1 said no", {f"10.0.0.{number}": cause for number, cause in enumerate(causes)}
    )


UNAVAILABLE = cassandra.Unavailable("too few", consistency=6, required_replicas=2, alive_replicas=1)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (no_host(), CassandraUnavailable),
        (no_host(connection.ConnectionShutdown("gone")), CassandraUnavailable),
        (no_host(ConnectionRefusedError(111, "refused")), CassandraUnavailable),
        (no_host(connection.ConnectionException("gone"), UNAVAILABLE), ConsistencyUnavailable),
        (no_host(no_host(UNAVAILABLE)), ConsistencyUnavailable),
        (no_host(cassandra.InvalidRequest("bad")), RejectedByCassandra),
        (no_host(cassandra.OperationTimedOut()), DeadlineExceeded),
        (no_host(struct_error := TypeError("cannot pack")), InternalError),
        (no_host(struct_error, connection.ConnectionException("gone")), CassandraUnavailable),
        (cluster.NoHostAvailable("none", None), CassandraUnavailable),
        (cassandra.ReadFailure("failed"), ReadFailed),
        (protocol.ErrorMessage(CAS_WRITE_UNKNOWN, "unknown", None), WriteTimeout),
        (protocol.ErrorMessage(0x9999, "new", None), InternalError),
        (ZeroDivisionError(), InternalError),
    ],
)
def test_translation(error: Exception, expected: type[ServiceError]) -> None:
    assert translation(error) is expected


def test_errors_of_the_driver_are_known_from_others() -> None:
    assert all(map(is_driver_error, (no_host(), UNAVAILABLE, connection.ConnectionShutdown("gone"))))
    assert not any(map(is_driver_error, (OSError(), AttributeError(), CassandraUnavailable())))


def test_no_text_of_the_driver_reaches_the_client() -> None:
    for error in (
        no_host(UNAVAILABLE),
        cassandra.InvalidRequest("10.0.0.1 SELECT"),
        connection.ConnectionShutdown("x"),
    ):
        translated = translate(error, unknown=True)
        assert translated.detail == type(translated).default_detail


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (cassandra.WriteTimeout("late", write_type=0), "unknown"),
        (cassandra.WriteFailure("failed", write_type=0), "unknown"),
        (cassandra.OperationTimedOut(), "unknown"),
        (connection.ConnectionShutdown("gone"), "unknown"),
        (UNAVAILABLE, None),
        (cassandra.InvalidRequest("bad"), None),
    ],
)
def test_sent_write_may_have_run_unless_refused(error: Exception, outcome: str | None) -> None:
    future = run("a", coordinator="a")
    assert may_have_run(future, error) is (outcome == "unknown")
    assert translate(error, unknown=may_have_run(future, error)).outcome == outcome
    assert not may_have_run(run(), error)
    assert translate(error, unknown=False).outcome is None


GONE = connection.ConnectionShutdown("gone")


def run(*attempted: str, coordinator: str | None = None, **errors: Exception) -> Any:
    """Return as much of a response future as is looked at; `errors` by host."""
    return SimpleNamespace(attempted_hosts=list(attempted), coordinator_host=coordinator, _errors=errors)


@pytest.mark.parametrize(
    ("future", "error", "may"),
    [
        (run("a", "b", coordinator="b", a=UNAVAILABLE), UNAVAILABLE, False),
        (run("a", "b", coordinator="b", a=GONE), UNAVAILABLE, True),
        (run("a", "b", coordinator="b"), UNAVAILABLE, True),  # a hangs, and b was asked speculatively
        (run("a", "b", coordinator="b", a=GONE, b=UNAVAILABLE), no_host(GONE, UNAVAILABLE), True),
        (run("a", coordinator="a", a=UNAVAILABLE, b=GONE), no_host(UNAVAILABLE, GONE), False),  # b was never asked
    ],
)
def test_one_refusal_says_nothing_about_other_nodes(future: Any, error: Exception, may: bool) -> None:
    assert may_have_run(future, error) is may


@pytest.mark.parametrize(
    ("error", "may"),
    [
        (AttributeError("on_request_error"), True),  # what is left to see of a lost connection
        (cassandra.OperationTimedOut(), True),
        (protocol.OverloadedErrorMessage(0x1001, "busy", None), True),
        (no_host(GONE), False),
        (cassandra.InvalidRequest("unconfigured table"), False),
    ],
)
def test_prepare_may_succeed_elsewhere(error: Exception, may: bool) -> None:
    assert prepare_may_succeed_elsewhere(error) is may


def test_refused_prepare() -> None:
    refused = cassandra.InvalidRequest("unconfigured table")
    assert isinstance(translate_prepare(refused, of_served_table=True), SchemaMissing)
    assert isinstance(translate_prepare(refused, of_served_table=False), StatementRefused)
    assert isinstance(translate_prepare(AttributeError("on_request_error"), of_served_table=True), CassandraUnavailable)
    assert isinstance(translate_prepare(no_host(), of_served_table=True), CassandraUnavailable)
