"""What valid settings leave open or may lose, for the report of `asgi-cassandra check`. No message has a value."""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from asgi_app.settings.settings import Settings
from asgi_app.settings.values import Problem

_WELL_KNOWN = ("cassandra", "scylla", "password", "admin", "changeme")
"""Passwords that come with servers or stand in examples, in small letters."""


def dangers(
    settings: Settings, *, is_open: bool, workers: int = 1, serves_examples: bool = False, env_file: Path | None = None
) -> list[Problem]:
    """Return what is dangerous about settings, each by the variable that changes it.

    `is_open`: the service listens beyond this machine. `serves_examples`: it serves the built-in tables, which is when
    the demonstrations are on unless the settings decide. `env_file` is the file that settings were read from.
    """
    found = [problem for rule in _ALWAYS for problem in rule(settings)]
    if is_open:
        found += [problem for rule in _WHEN_OPEN for problem in rule(settings)]
        found += _demonstrations(settings, serves_examples)
    if not settings.page_keys and (is_open or workers > 1):
        found.append(_NO_PAGE_KEYS)
    return [*found, *(_readable_by_all(env_file) if env_file is not None else ())]


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own, without a look-up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_NO_PAGE_KEYS = Problem(
    "ASGI_CASSANDRA_PAGE_KEYS",
    "is not set: page tokens are not valid after a restart, nor at another instance; the workers of one `serve` share "
    "a key",
)


def _no_api_keys(settings: Settings) -> Iterator[Problem]:
    if not settings.api_keys:
        yield Problem(
            "ASGI_CASSANDRA_API_KEYS", "is not set: everyone who can connect may read and write what is served"
        )


def _demonstrations(settings: Settings, serves_examples: bool) -> Iterator[Problem]:
    if serves_examples if settings.diagnostics is None else settings.diagnostics:
        yield Problem(
            "ASGI_CASSANDRA_DIAGNOSTICS",
            "is on: clients can make the service run many queries; set it to false in production",
        )


def _everything_writable(settings: Settings) -> Iterator[Problem]:
    if any(name.endswith("*") for name in settings.writable):
        yield Problem("ASGI_CASSANDRA_WRITABLE", "is *: tables that are created later are writable too; name them")


def _open_document(settings: Settings) -> Iterator[Problem]:
    if settings.docs and not settings.api_keys:
        yield Problem(
            "ASGI_CASSANDRA_DOCS", "is on: everyone who can connect learns which tables and columns there are"
        )


def _any_origin(settings: Settings) -> Iterator[Problem]:
    if "*" in settings.cors_origins and not settings.api_keys:
        yield Problem(
            "ASGI_CASSANDRA_CORS_ORIGINS",
            "is * and there are no API keys: each web page that somebody with access to the service opens may use it",
        )


def _no_tls(settings: Settings) -> Iterator[Problem]:
    remote = [point.host for point in settings.cassandra_hosts if not is_loopback(point.host)]
    if remote and not settings.cassandra_ssl_enabled and settings.astra_db_secure_bundle_path is None:
        yield Problem(
            "CASSANDRA_SSL_ENABLED",
            "is off and Cassandra is on another machine: rows, and the password if there is one, cross the network "
            "unencrypted",
        )


def _unchecked_names(settings: Settings) -> Iterator[Problem]:
    if settings.cassandra_ssl_enabled and not settings.ssl_check_hostname:
        yield Problem(
            "ASGI_CASSANDRA_SSL_CHECK_HOSTNAME",
            "is off: whoever has a certificate of the same authority can pass for a node",
        )


def _well_known_password(settings: Settings) -> Iterator[Problem]:
    password = settings.cassandra_password.reveal().lower() if settings.cassandra_password else None
    if password in (*_WELL_KNOWN, (settings.cassandra_username or "").lower()):
        yield Problem("CASSANDRA_PASSWORD", "is a default password, or the same as the user name")


def _default_superuser(settings: Settings) -> Iterator[Problem]:
    if settings.cassandra_username == "cassandra":
        yield Problem(
            "CASSANDRA_USERNAME",
            "is the superuser that Cassandra comes with: it may do everything, and its logins need a quorum; make a "
            "role with the permissions SELECT and MODIFY on the keyspace",
        )


def _weak_consistency(settings: Settings) -> Iterator[Problem]:
    if settings.cassandra_consistency in ("ONE", "LOCAL_ONE", "TWO"):
        yield Problem(
            "CASSANDRA_CONSISTENCY",
            f"is {settings.cassandra_consistency}: with several replicas a read may miss a write that was acknowledged",
        )


def _readable_by_all(env_file: Path) -> Iterator[Problem]:
    try:
        mode = env_file.stat().st_mode
    except OSError:  # there is no such file
        return
    if stat.S_ISREG(mode) and mode & stat.S_IROTH:
        yield Problem(str(env_file), "can be read by every user of this machine: `chmod 600` it if it has secrets")


_Rule = Callable[[Settings], Iterator[Problem]]

_ALWAYS: tuple[_Rule, ...] = (
    _no_tls,
    _unchecked_names,
    _well_known_password,
    _default_superuser,
    _weak_consistency,
    _any_origin,
)

_WHEN_OPEN: tuple[_Rule, ...] = (_no_api_keys, _open_document, _everything_writable)
"""Rules for a service that listens beyond this machine."""
