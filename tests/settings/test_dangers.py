"""Settings that are valid and dangerous: each danger is told by the variable that changes it, and no value is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asgi_app.settings import ContactPoint, Secret, Settings
from asgi_app.settings.dangers import dangers, is_loopback

KEY = f"shop:read.users:{'k' * 32}"
REMOTE = (ContactPoint("10.0.0.1"),)
SAFE: dict[str, Any] = {"api_keys": (Secret(KEY),), "page_keys": (Secret("p" * 32),), "diagnostics": False}


def names(settings: Settings, **options: Any) -> list[str]:
    return [problem.name for problem in dangers(settings, **{"is_open": False, **options})]


def test_defaults_on_this_machine_are_not_dangerous() -> None:
    assert names(Settings(), serves_examples=True) == []


def test_defaults_beyond_this_machine_are() -> None:
    assert names(Settings(), is_open=True, serves_examples=True) == [
        "ASGI_CASSANDRA_API_KEYS",
        "ASGI_CASSANDRA_DOCS",
        "ASGI_CASSANDRA_DIAGNOSTICS",
        "ASGI_CASSANDRA_PAGE_KEYS",
    ]
    assert names(Settings(**SAFE), is_open=True, workers=4, serves_examples=True) == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"cassandra_hosts": REMOTE}, "CASSANDRA_SSL_ENABLED"),
        ({"cassandra_ssl_enabled": True, "ssl_check_hostname": False}, "ASGI_CASSANDRA_SSL_CHECK_HOSTNAME"),
        ({"cassandra_username": "app", "cassandra_password": Secret("Cassandra")}, "CASSANDRA_PASSWORD"),
        ({"cassandra_username": "app", "cassandra_password": Secret("App")}, "CASSANDRA_PASSWORD"),
        ({"cassandra_username": "cassandra", "cassandra_password": Secret("s" * 20)}, "CASSANDRA_USERNAME"),
        ({"cassandra_consistency": "LOCAL_ONE"}, "CASSANDRA_CONSISTENCY"),
        ({"cors_origins": ("*",), "api_keys": ()}, "ASGI_CASSANDRA_CORS_ORIGINS"),
    ],
)
def test_danger_of_a_setting(changes: dict[str, Any], name: str) -> None:
    assert names(Settings(**SAFE | changes)) == [name]


@pytest.mark.parametrize(
    ("changes", "options", "name"),
    [
        ({"api_keys": (), "docs": False}, {"is_open": True}, "ASGI_CASSANDRA_API_KEYS"),
        ({"diagnostics": True}, {"is_open": True}, "ASGI_CASSANDRA_DIAGNOSTICS"),
        ({"diagnostics": None}, {"is_open": True, "serves_examples": True}, "ASGI_CASSANDRA_DIAGNOSTICS"),
        ({"tables": ("*",), "writable": ("*",)}, {"is_open": True}, "ASGI_CASSANDRA_WRITABLE"),
        ({"page_keys": ()}, {"is_open": True}, "ASGI_CASSANDRA_PAGE_KEYS"),
        ({"page_keys": ()}, {"workers": 2}, "ASGI_CASSANDRA_PAGE_KEYS"),
    ],
)
def test_danger_of_how_it_is_served(changes: dict[str, Any], options: dict[str, Any], name: str) -> None:
    assert names(Settings(**SAFE | changes), **options) == [name]


def test_file_of_settings_that_others_can_read(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert names(Settings(), env_file=file) == []
    file.touch(0o600)
    assert names(Settings(), env_file=file) == []
    file.chmod(0o644)
    assert names(Settings(), env_file=file) == [str(file)]


def test_no_message_has_a_secret() -> None:
    password = "cassandra-cassandra"
    secrets = (KEY.rpartition(":")[2], "p" * 32, password)
    settings = Settings(
        cassandra_username=password,
        cassandra_password=Secret(password),
        cassandra_hosts=REMOTE,
        **{**SAFE, "diagnostics": True},
    )
    found = dangers(settings, is_open=True)
    assert len(found) == 3
    assert not [each for each in found if any(secret in each.message for secret in secrets)]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_addresses_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "cassandra", ""])
def test_other_addresses(host: str) -> None:
    assert not is_loopback(host)
