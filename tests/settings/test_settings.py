"""Settings: parsing, defaults, rules and their problems; secrets never appear in text."""

import copy
import os
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_app.settings import ContactPoint, Problem, Secret, Settings, SettingsError, setting_fields

# The variables that the HTTP contract names.
CONTRACT = [
    "CASSANDRA_HOSTS",
    "CASSANDRA_PORT",
    "CASSANDRA_KEYSPACE",
    "CASSANDRA_USERNAME",
    "CASSANDRA_PASSWORD",
    "CASSANDRA_LOCAL_DC",
    "CASSANDRA_CONSISTENCY",
    "CASSANDRA_CONNECTION_TIMEOUT",
    "CASSANDRA_IDLE_HEARTBEAT_INTERVAL",
    "CASSANDRA_SSL_ENABLED",
    "CASSANDRA_SSL_CA_CERTS",
    "CASSANDRA_SSL_CERTFILE",
    "CASSANDRA_SSL_KEYFILE",
    "ASTRA_DB_SECURE_BUNDLE_PATH",
    "ASTRA_DB_CLIENT_ID",
    "ASTRA_DB_CLIENT_SECRET",
    "ASTRA_DB_TOKEN",
    "ASTRA_DB_KEYSPACE",
    "ASGI_CASSANDRA_ADMIN_TOKEN",
    "ASGI_CASSANDRA_PAGE_KEYS",
    "ASGI_CASSANDRA_REQUEST_TIMEOUT",
    "ASGI_CASSANDRA_DIAGNOSTICS",
    "ASGI_CASSANDRA_LOG_LEVEL",
]

SECRET = "correct-horse-battery-staple-0123456789"


def load(environ: Mapping[str, str]) -> Settings:
    return Settings.load(environ, env_file=None)


def problems(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the first problem of each variable."""
    with pytest.raises(SettingsError) as caught:
        load(environ)
    return dict(reversed(caught.value.problems))


def file(path: Path, text: str = "x") -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    return str(file(tmp_path / "bundle.zip"))


# Secret


def test_secret_is_shown_by_reveal_only() -> None:
    secret = Secret(SECRET)
    assert secret.reveal() == SECRET
    assert {repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!s}", f"{secret!r}"} == {"********"}
    assert not issubclass(Secret, str)
    assert not hasattr(secret, "__dict__")


def test_secret_is_equal_and_hashes_by_value() -> None:
    assert Secret("ä") == Secret("ä")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_secret_is_true_if_not_empty() -> None:
    assert Secret("a")
    assert not Secret("")


def test_secret_cannot_be_encoded() -> None:
    with pytest.raises(TypeError) as caught:
        msgspec.json.encode(Secret(SECRET))
    assert SECRET not in str(caught.value)


# Defaults and declarations


def test_documented_defaults() -> None:
    assert {field.env: field.default for field in setting_fields()} == {
        "CASSANDRA_HOSTS": (ContactPoint("localhost"),),
        "CASSANDRA_PORT": 9042,
        "CASSANDRA_KEYSPACE": "test_keyspace",
        "ASGI_CASSANDRA_TABLES": (),
        "ASGI_CASSANDRA_WRITABLE": (),
        "CASSANDRA_USERNAME": None,
        "CASSANDRA_PASSWORD": None,
        "CASSANDRA_LOCAL_DC": None,
        "CASSANDRA_CONSISTENCY": "LOCAL_QUORUM",
        "CASSANDRA_CONNECTION_TIMEOUT": 5.0,
        "CASSANDRA_IDLE_HEARTBEAT_INTERVAL": 30,
        "CASSANDRA_SSL_ENABLED": None,
        "CASSANDRA_SSL_CA_CERTS": None,
        "CASSANDRA_SSL_CERTFILE": None,
        "CASSANDRA_SSL_KEYFILE": None,
        "ASTRA_DB_SECURE_BUNDLE_PATH": None,
        "ASTRA_DB_CLIENT_ID": None,
        "ASTRA_DB_CLIENT_SECRET": None,
        "ASTRA_DB_TOKEN": None,
        "ASTRA_DB_KEYSPACE": None,
        "ASGI_CASSANDRA_SERIAL_CONSISTENCY": "LOCAL_SERIAL",
        "ASGI_CASSANDRA_SSL_CHECK_HOSTNAME": True,
        "ASGI_CASSANDRA_PROTOCOL_VERSION": 4,
        "ASGI_CASSANDRA_REQUEST_TIMEOUT": 30.0,
        "ASGI_CASSANDRA_MAX_REQUEST_TIMEOUT": 300.0,
        "ASGI_CASSANDRA_STREAM_TIMEOUT": 3600,
        "ASGI_CASSANDRA_SEND_TIMEOUT": 30,
        "ASGI_CASSANDRA_MAX_STREAMS": 64,
        "ASGI_CASSANDRA_MAX_PAGE_BYTES": 4194304,
        "ASGI_CASSANDRA_GZIP": False,
        "ASGI_CASSANDRA_MAX_IN_FLIGHT": 256,
        "ASGI_CASSANDRA_MAX_STREAM_PAGES": 8,
        "ASGI_CASSANDRA_STREAM_PAGES_BESIDE_READS": 1,
        "ASGI_CASSANDRA_PAGE_BYTES_BESIDE_READS": 65536,
        "ASGI_CASSANDRA_MAX_WAITING": 256,
        "ASGI_CASSANDRA_MAX_WAIT": 1.0,
        "ASGI_CASSANDRA_MAX_BODY_BYTES": 1048576,
        "ASGI_CASSANDRA_MAX_BATCH_BYTES": 46080,
        "ASGI_CASSANDRA_MAX_JSON_DEPTH": 32,
        "ASGI_CASSANDRA_MAX_URL_BYTES": 8192,
        "ASGI_CASSANDRA_MAX_HEADER_BYTES": 16384,
        "ASGI_CASSANDRA_HEADER_TIMEOUT": 10.0,
        "ASGI_CASSANDRA_KEEP_ALIVE": 75.0,
        "ASGI_CASSANDRA_BODY_TIMEOUT": 30.0,
        "ASGI_CASSANDRA_PAGE_KEYS": (),
        "ASGI_CASSANDRA_PAGE_TOKEN_LIFETIME": 0,
        "ASGI_CASSANDRA_ADMIN_TOKEN": None,
        "ASGI_CASSANDRA_API_KEYS": (),
        "ASGI_CASSANDRA_CORS_ORIGINS": (),
        "ASGI_CASSANDRA_TRUSTED_HOSTS": (),
        "ASGI_CASSANDRA_SECURITY_HEADERS": True,
        "ASGI_CASSANDRA_HSTS_SECONDS": 0,
        "ASGI_CASSANDRA_SHUTDOWN_GRACE": 30.0,
        "ASGI_CASSANDRA_DRAIN_DELAY": 0.0,
        "ASGI_CASSANDRA_DIAGNOSTICS": None,
        "ASGI_CASSANDRA_DOCS": True,
        "ASGI_CASSANDRA_CONSOLE": True,
        "ASGI_CASSANDRA_LOG_LEVEL": "info",
        "ASGI_CASSANDRA_LOG_FORMAT": "console",
        "ASGI_CASSANDRA_SLOW_STATEMENT": 1.0,
        "ASGI_CASSANDRA_SERVER_TIMING": False,
        "ASGI_CASSANDRA_OTEL": False,
        "ASGI_CASSANDRA_WRITE_TIMESTAMP_MARGIN": 60.0,
        "ASGI_CASSANDRA_SPECULATIVE_DELAY": 0.5,
        "ASGI_CASSANDRA_MAX_PREPARED": 512,
        "ASGI_CASSANDRA_HEALTH_TIMEOUT": 1.0,
        "ASGI_CASSANDRA_HEALTH_TTL": 0.5,
    }
    assert load({}) == Settings()


@pytest.mark.parametrize("name", CONTRACT)
def test_every_variable_of_the_contract_is_a_setting(name: str) -> None:
    assert name in {field.env for field in setting_fields()}


def test_field_is_named_after_its_variable() -> None:
    for field in setting_fields():
        assert field.name == field.env.removeprefix("ASGI_CASSANDRA_").lower()


def test_secret_fields() -> None:
    assert {field.env for field in setting_fields() if field.secret} == {
        "CASSANDRA_PASSWORD",
        "ASTRA_DB_CLIENT_SECRET",
        "ASTRA_DB_TOKEN",
        "ASGI_CASSANDRA_PAGE_KEYS",
        "ASGI_CASSANDRA_ADMIN_TOKEN",
        "ASGI_CASSANDRA_API_KEYS",
    }


def test_field_lists_its_choices() -> None:
    choices = {field.env: field.choices for field in setting_fields()}
    assert choices["ASGI_CASSANDRA_LOG_LEVEL"] == ("debug", "info", "warning", "error")
    assert choices["CASSANDRA_PORT"] == ()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().cassandra_port = 1  # type: ignore[misc]


def test_settings_survive_copy_and_pickle() -> None:
    settings = Settings(cassandra_username="u", cassandra_password=Secret("p"))
    assert copy.deepcopy(settings) == pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301


# Text to value


@pytest.mark.parametrize("text", ["true", "TRUE", "True", "1", "yes", "On", " on "])
def test_true(text: str) -> None:
    assert load({"CASSANDRA_SSL_ENABLED": text}).cassandra_ssl_enabled is True


@pytest.mark.parametrize("text", ["false", "FALSE", "0", "no", "Off"])
def test_false(text: str) -> None:
    assert load({"ASGI_CASSANDRA_DIAGNOSTICS": text}).diagnostics is False


@pytest.mark.parametrize("name", ["CASSANDRA_SSL_ENABLED", "ASGI_CASSANDRA_DIAGNOSTICS"])
@pytest.mark.parametrize("text", ["2", "y", "enabled", "truee"])
def test_neither_true_nor_false(name: str, text: str) -> None:
    assert problems({name: text}) == {
        name: "is neither true nor false; allowed: true, false, yes, no, on, off, 1, 0",
    }


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("db1", [("db1", None)]),
        ("db1:9043", [("db1", 9043)]),
        ("db1, db2:9043 ,10.0.0.1", [("db1", None), ("db2", 9043), ("10.0.0.1", None)]),
        ("db1,", [("db1", None)]),
        (" ,db1,, db2 , ", [("db1", None), ("db2", None)]),
        ("2001:db8::1", [("2001:db8::1", None)]),
        ("[2001:db8::1]", [("2001:db8::1", None)]),
        ("[::1]:9043,::1", [("::1", 9043), ("::1", None)]),
        ("fe80::1%eth0", [("fe80::1%eth0", None)]),
        ("cassandra_1.some-net.example.", [("cassandra_1.some-net.example.", None)]),
    ],
)
def test_hosts(text: str, hosts: list[tuple[str, int | None]]) -> None:
    assert load({"CASSANDRA_HOSTS": text}).cassandra_hosts == tuple(ContactPoint(*host) for host in hosts)


@pytest.mark.parametrize(
    "text",
    [
        ",",
        " , ",
        "db 1",
        "db1:",
        "db1:x",
        "db1:0",
        "db1:65536",
        "db1:123456",
        ":9042",
        "[]:9042",
        "[db1]:9042",
        "[::1",
        "[::1]9042",
        "1.2.3",
        "999.1.1.1",
        "-db",
        "db-",
        "a..b",
        "http://db1",
        "db1;db2",
        "user:secret@db1",
        "döner",
        "a" * 64,
        ".".join(["a" * 50] * 6),
    ],
)
def test_bad_host_list_is_refused(text: str) -> None:
    (name,) = found = problems({"CASSANDRA_HOSTS": text})
    assert name == "CASSANDRA_HOSTS"
    assert "entry " in found[name]
    assert "host:port" in found[name]


def test_bad_host_is_reported_with_its_position() -> None:
    assert problems({"CASSANDRA_HOSTS": "a,b:c"})["CASSANDRA_HOSTS"].startswith("entry 2 is not a host")
    assert problems({"CASSANDRA_HOSTS": "a,,b:c"})["CASSANDRA_HOSTS"].startswith("entry 3 is not a host")


LISTS = {
    "ASGI_CASSANDRA_PAGE_KEYS": "k" * 32,
    "ASGI_CASSANDRA_API_KEYS": f"ci:read:{'k' * 32}",
    "ASGI_CASSANDRA_CORS_ORIGINS": "https://a.example",
    "ASGI_CASSANDRA_TRUSTED_HOSTS": "a.example",
    "ASGI_CASSANDRA_TABLES": "events",
    "ASGI_CASSANDRA_WRITABLE": "events",
    "CASSANDRA_HOSTS": "a.example",
}


def test_every_list_setting_is_tested() -> None:
    assert set(LISTS) == {field.env for field in setting_fields() if isinstance(field.default, tuple)}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("form", ["{},", ",{}", " , {} ,, "])
def test_blank_entries_of_a_list_are_ignored(name: str, form: str) -> None:
    beside = {"ASGI_CASSANDRA_TABLES": "events"}  # what is writable must be served
    assert load(beside | {name: form.format(LISTS[name])}) == load(beside | {name: LISTS[name]})


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("text", [",", " ,, "])
def test_list_of_blank_entries_only_is_refused(name: str, text: str) -> None:
    assert list(problems({name: text})) == [name]


@given(st.ip_addresses(), st.none() | st.integers(1, 65535))
def test_every_address_is_a_host(address: Any, port: int | None) -> None:
    shown = f"[{address}]" if address.version == 6 and port else str(address)
    text = f"{shown}:{port}" if port else shown
    assert load({"CASSANDRA_HOSTS": text}).cassandra_hosts == (ContactPoint(str(address), port),)


RANGES = {
    "CASSANDRA_PORT": (1, 65535, "0", "65536"),
    "CASSANDRA_CONNECTION_TIMEOUT": (0.001, 300, "0", "300.1"),
    "CASSANDRA_IDLE_HEARTBEAT_INTERVAL": (0, 3600, "-1", "3601"),
    "ASGI_CASSANDRA_REQUEST_TIMEOUT": (0.001, 300, "0", "86401"),
    "ASGI_CASSANDRA_MAX_REQUEST_TIMEOUT": (30, 86400, "0", "86401"),
    "ASGI_CASSANDRA_STREAM_TIMEOUT": (0.001, 604800, "0", "604801"),
    "ASGI_CASSANDRA_SEND_TIMEOUT": (0.001, 3600, "0", "3601"),
    "ASGI_CASSANDRA_PAGE_TOKEN_LIFETIME": (0, 31_536_000, "-1", "31536001"),
    "ASGI_CASSANDRA_MAX_STREAMS": (1, 100_000, "0", "100001"),
    "ASGI_CASSANDRA_MAX_PAGE_BYTES": (1024, 268435456, "1023", "268435457"),
    "ASGI_CASSANDRA_MAX_IN_FLIGHT": (1, 32768, "0", "32769"),
    "ASGI_CASSANDRA_MAX_STREAM_PAGES": (1, 32768, "0", "32769"),
    "ASGI_CASSANDRA_STREAM_PAGES_BESIDE_READS": (1, 32768, "0", "32769"),
    "ASGI_CASSANDRA_PAGE_BYTES_BESIDE_READS": (1024, 268435456, "1023", "268435457"),
    "ASGI_CASSANDRA_MAX_WAITING": (0, 1_000_000, "-1", "1000001"),
    "ASGI_CASSANDRA_MAX_WAIT": (0, 300, "-0.1", "301"),
    "ASGI_CASSANDRA_MAX_BODY_BYTES": (1, 15728640, "0", "15728641"),
    "ASGI_CASSANDRA_MAX_BATCH_BYTES": (1, 15728640, "0", "15728641"),
    "ASGI_CASSANDRA_MAX_JSON_DEPTH": (1, 200, "0", "201"),
    "ASGI_CASSANDRA_MAX_URL_BYTES": (256, 1048576, "255", "1048577"),
    "ASGI_CASSANDRA_MAX_HEADER_BYTES": (1024, 1048576, "1023", "1048577"),
    "ASGI_CASSANDRA_HEADER_TIMEOUT": (0.001, 3600, "0", "3601"),
    "ASGI_CASSANDRA_KEEP_ALIVE": (0.001, 3600, "0", "3601"),
    "ASGI_CASSANDRA_BODY_TIMEOUT": (0.001, 3600, "0", "3601"),
    "ASGI_CASSANDRA_HSTS_SECONDS": (0, 63_072_000, "-1", "63072001"),
    "ASGI_CASSANDRA_SHUTDOWN_GRACE": (0, 3600, "-1", "3601"),
    "ASGI_CASSANDRA_DRAIN_DELAY": (0, 300, "-1", "301"),
    "ASGI_CASSANDRA_SLOW_STATEMENT": (0, 3600, "-1", "3601"),
    "ASGI_CASSANDRA_WRITE_TIMESTAMP_MARGIN": (1, 3600, "0", "3601"),
    "ASGI_CASSANDRA_SPECULATIVE_DELAY": (0, 60, "-0.5", "61"),
    "ASGI_CASSANDRA_MAX_PREPARED": (1, 100_000, "0", "100001"),
    "ASGI_CASSANDRA_HEALTH_TIMEOUT": (0.001, 60, "0", "61"),
    "ASGI_CASSANDRA_HEALTH_TTL": (0, 60, "-1", "61"),
}


def test_every_number_setting_is_tested() -> None:
    assert set(RANGES) == {field.env for field in setting_fields() if field.type in (int, float)}


@pytest.mark.parametrize("name", RANGES)
def test_bounds_of_a_range_are_allowed(name: str) -> None:
    (field,) = (field for field in setting_fields() if field.env == name)
    for end in RANGES[name][:2]:
        assert getattr(load({name: str(end)}), field.name) == end


@pytest.mark.parametrize("name", RANGES)
def test_out_of_range(name: str) -> None:
    for text in RANGES[name][2:]:
        assert problems({name: text})[name].startswith("is not valid; allowed: ")


@pytest.mark.parametrize("text", ["abc", "1.5", "1_000", "0x10", "1e3", "+1", "--1", "٣", "1" * 30])
def test_not_a_whole_number(text: str) -> None:
    assert problems({"CASSANDRA_PORT": text}) == {"CASSANDRA_PORT": "is not a whole number; allowed: 1 to 65535"}


@pytest.mark.parametrize("text", ["abc", "nan", "inf", "-inf", "1_0", "1e3", "5s", "1.", "."])
def test_not_a_number(text: str) -> None:
    assert problems({"ASGI_CASSANDRA_MAX_WAIT": text}) == {
        "ASGI_CASSANDRA_MAX_WAIT": "is not a number; allowed: 0 to 300"
    }


def test_number_too_long_for_a_float_is_out_of_range() -> None:
    assert "is not valid" in problems({"ASGI_CASSANDRA_MAX_WAIT": "9" * 400})["ASGI_CASSANDRA_MAX_WAIT"]


@pytest.mark.parametrize("text", ["LOCAL_ONE", "local_one", " Local_One "])
def test_consistency_in_any_case(text: str) -> None:
    assert load({"CASSANDRA_CONSISTENCY": text}).cassandra_consistency == "LOCAL_ONE"


@pytest.mark.parametrize("text", ["ANY", "SERIAL", "LOCAL_SERIAL", "LOCAL-ONE", "6"])
def test_bad_consistency(text: str) -> None:
    assert "LOCAL_QUORUM" in problems({"CASSANDRA_CONSISTENCY": text})["CASSANDRA_CONSISTENCY"]


def test_serial_consistency() -> None:
    name = "ASGI_CASSANDRA_SERIAL_CONSISTENCY"
    assert load({name: "serial"}).serial_consistency == "SERIAL"
    assert problems({name: "QUORUM"}) == {name: "is not one of the choices; allowed: LOCAL_SERIAL, SERIAL"}


def test_protocol_version() -> None:
    name = "ASGI_CASSANDRA_PROTOCOL_VERSION"
    assert [load({name: text}).protocol_version for text in "345"] == [3, 4, 5]
    assert problems({name: "6"}) == {name: "is not one of the choices; allowed: 3, 4, 5"}


def test_log_level() -> None:
    name = "ASGI_CASSANDRA_LOG_LEVEL"
    assert load({name: "WARNING"}).log_level == "warning"
    assert problems({name: "trace"}) == {name: "is not one of the choices; allowed: debug, info, warning, error"}


def test_log_format() -> None:
    name = "ASGI_CASSANDRA_LOG_FORMAT"
    assert load({name: "JSON"}).log_format == "json"
    assert problems({name: "xml"}) == {name: "is not one of the choices; allowed: console, json"}


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, "localhost:9042"),
        ({"CASSANDRA_PORT": "41559"}, "localhost:41559"),
        ({"CASSANDRA_HOSTS": "10.0.0.1:9043,[::1],db"}, "10.0.0.1:9043, [::1]:9042, db:9042"),
    ],
)
def test_address_of_the_settings(variables: dict[str, str], address: str) -> None:
    assert load(variables).address == address


def test_address_of_an_astra_database(bundle: str) -> None:
    settings = load({"ASTRA_DB_SECURE_BUNDLE_PATH": bundle, "ASTRA_DB_TOKEN": "t"})
    assert settings.address == f"the database of {Path(bundle).name}"


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.trace"])
def test_otel_needs_its_extra(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    name = "ASGI_CASSANDRA_OTEL"
    assert load({name: "on"}).otel is True
    monkeypatch.setitem(sys.modules, missing, None)  # as if not installed
    assert problems({name: "on"}) == {
        name: "needs OpenTelemetry; in a clone of the project: pip install '.[otel]'",
    }
    assert load({name: "off"}).otel is False


@pytest.mark.parametrize("text", ["a b", "a-b", "k;drop", '"k"', "ü", "a" * 49, "k\nx"])
def test_bad_keyspace(text: str, bundle: str) -> None:
    astra = {"ASTRA_DB_SECURE_BUNDLE_PATH": bundle, "ASTRA_DB_TOKEN": "t"}
    assert "1 to 48 letters" in problems({"CASSANDRA_KEYSPACE": text})["CASSANDRA_KEYSPACE"]
    assert "1 to 48 letters" in problems({**astra, "ASTRA_DB_KEYSPACE": text})["ASTRA_DB_KEYSPACE"]


def test_keyspace_keeps_its_capitals() -> None:
    assert load({"CASSANDRA_KEYSPACE": "My_Keyspace1"}).keyspace == "My_Keyspace1"


def test_page_keys() -> None:
    first, second = "a" * 32, "b" * 40
    keys = load({"ASGI_CASSANDRA_PAGE_KEYS": f"{first}, {second}"}).page_keys
    assert [key.reveal() for key in keys] == [first, second]


@pytest.mark.parametrize("text", ["a" * 31, f"{'a' * 32},short", f"{'a' * 32}, ,short"])
def test_short_page_key_is_refused(text: str) -> None:
    assert problems({"ASGI_CASSANDRA_PAGE_KEYS": text}) == {
        "ASGI_CASSANDRA_PAGE_KEYS": ("is not valid; allowed: keys of at least 32 characters, separated by commas")
    }


@pytest.mark.parametrize("text", ["a" * 15, "a" * 15 + " ", "with a space in it", "ü" * 20])
def test_weak_admin_token_is_refused(text: str) -> None:
    assert "at least 16 visible" in problems({"ASGI_CASSANDRA_ADMIN_TOKEN": text})["ASGI_CASSANDRA_ADMIN_TOKEN"]


def test_password_is_not_trimmed() -> None:
    settings = load({"CASSANDRA_USERNAME": " app ", "CASSANDRA_PASSWORD": " pa ss ", "CASSANDRA_LOCAL_DC": " dc1 "})
    assert (settings.cassandra_username, settings.cassandra_local_dc) == ("app", "dc1")
    assert settings.cassandra_password == Secret(" pa ss ")


def test_bytes_that_are_not_utf8_are_refused() -> None:
    environ = {"CASSANDRA_USERNAME": "u", "CASSANDRA_PASSWORD": os.fsdecode(b"p\xff")}
    assert problems(environ) == {"CASSANDRA_PASSWORD": "is not UTF-8 text"}


@pytest.mark.parametrize("text", ["", "   "])
def test_empty_is_unset(text: str) -> None:
    assert load({field.env: text for field in setting_fields()}) == Settings()


# Settings that depend on each other


TLS_FILES = ["CASSANDRA_SSL_CA_CERTS", "CASSANDRA_SSL_CERTFILE", "CASSANDRA_SSL_KEYFILE"]


@pytest.mark.parametrize("name", [*TLS_FILES, "ASTRA_DB_SECURE_BUNDLE_PATH"])
@pytest.mark.parametrize("file", ["missing", "", "x" * 300], ids=["missing", "folder", "name too long"])
def test_unreadable_file(name: str, file: str, tmp_path: Path) -> None:
    path = tmp_path / file
    with pytest.raises(SettingsError) as caught:
        load({"CASSANDRA_SSL_ENABLED": "true", name: str(path)})
    allowed = "a readable file; a relative path starts at the working directory"
    assert Problem(name, f"is not a readable file; allowed: {allowed}") in caught.value.problems


def test_tls_files(tmp_path: Path) -> None:
    paths = {name: str(file(tmp_path / name)) for name in TLS_FILES}
    settings = load({"CASSANDRA_SSL_ENABLED": "yes", **paths})
    assert settings.cassandra_ssl_ca_certs == tmp_path / "CASSANDRA_SSL_CA_CERTS"
    assert settings.cassandra_ssl_certfile == tmp_path / "CASSANDRA_SSL_CERTFILE"
    assert settings.cassandra_ssl_keyfile == tmp_path / "CASSANDRA_SSL_KEYFILE"


@pytest.mark.parametrize("name", TLS_FILES)
def test_tls_files_without_ssl_enabled_are_refused(name: str, tmp_path: Path) -> None:
    environ = {name: str(file(tmp_path / "file.pem"))}
    assert "CASSANDRA_SSL_ENABLED is not set" in problems(environ)[name]
    with pytest.raises(SettingsError) as caught:
        Settings(**{name.lower(): tmp_path / "file.pem"})  # type: ignore[arg-type]
    assert dict(caught.value.problems) == problems(environ)


def test_tls_files_with_ssl_disabled_are_accepted(tmp_path: Path) -> None:
    path = file(tmp_path / "ca.pem")
    environ = {"CASSANDRA_SSL_ENABLED": "false", "CASSANDRA_SSL_CA_CERTS": str(path)}
    assert load(environ).cassandra_ssl_ca_certs == path
    assert Settings(cassandra_ssl_enabled=False, cassandra_ssl_ca_certs=path) == load(environ)


def test_tls_files_beside_a_mistake_in_ssl_enabled(tmp_path: Path) -> None:
    environ = {"CASSANDRA_SSL_ENABLED": "perhaps", "CASSANDRA_SSL_CA_CERTS": str(file(tmp_path / "ca.pem"))}
    assert [*problems(environ)] == ["CASSANDRA_SSL_ENABLED"]


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        ("CASSANDRA_USERNAME", "CASSANDRA_PASSWORD"),
        ("CASSANDRA_PASSWORD", "CASSANDRA_USERNAME"),
        ("CASSANDRA_SSL_CERTFILE", "CASSANDRA_SSL_KEYFILE"),
        ("CASSANDRA_SSL_KEYFILE", "CASSANDRA_SSL_CERTFILE"),
        ("ASTRA_DB_CLIENT_ID", "ASTRA_DB_CLIENT_SECRET"),
        ("ASTRA_DB_CLIENT_SECRET", "ASTRA_DB_CLIENT_ID"),
    ],
)
def test_incomplete_pair(present: str, missing: str, bundle: str) -> None:
    environ = {"CASSANDRA_SSL_ENABLED": "true", present: bundle}
    if present.startswith("ASTRA"):
        environ["ASTRA_DB_SECURE_BUNDLE_PATH"] = bundle
    assert problems(environ) == {missing: f"is not set although {present} is; set both or neither"}


def test_default_timeout_above_maximum() -> None:
    environ = {"ASGI_CASSANDRA_REQUEST_TIMEOUT": "20", "ASGI_CASSANDRA_MAX_REQUEST_TIMEOUT": "10"}
    assert "MAX_REQUEST_TIMEOUT" in problems(environ)["ASGI_CASSANDRA_REQUEST_TIMEOUT"]


def test_astra_with_a_token(bundle: str) -> None:
    environ = {"ASTRA_DB_SECURE_BUNDLE_PATH": bundle, "ASTRA_DB_TOKEN": "AstraCS:x", "ASTRA_DB_KEYSPACE": "ks"}
    settings = load(environ)
    assert settings.astra_db_secure_bundle_path == Path(bundle)
    assert settings.astra_db_token == Secret("AstraCS:x")
    assert settings.keyspace == "ks"


def test_astra_without_keyspace_uses_cassandra_keyspace(bundle: str) -> None:
    environ = {"ASTRA_DB_SECURE_BUNDLE_PATH": bundle, "ASTRA_DB_TOKEN": "t", "CASSANDRA_KEYSPACE": "ks"}
    assert load(environ).keyspace == "ks"


def test_astra_with_client_id_and_secret(bundle: str) -> None:
    environ = {
        "ASTRA_DB_SECURE_BUNDLE_PATH": bundle,
        "ASTRA_DB_CLIENT_ID": "id",
        "ASTRA_DB_CLIENT_SECRET": SECRET,
    }
    assert load(environ).astra_db_client_secret == Secret(SECRET)


@pytest.mark.parametrize("hosts", ["localhost", "db1"])
def test_astra_with_hosts(hosts: str, bundle: str) -> None:
    environ = {"ASTRA_DB_SECURE_BUNDLE_PATH": bundle, "ASTRA_DB_TOKEN": "t", "CASSANDRA_HOSTS": hosts}
    assert list(problems(environ)) == ["CASSANDRA_HOSTS"]


def test_astra_without_credentials(bundle: str) -> None:
    found = problems({"ASTRA_DB_SECURE_BUNDLE_PATH": bundle})
    assert found["ASTRA_DB_SECURE_BUNDLE_PATH"].startswith("needs credentials")


def test_astra_with_token_and_client_id(bundle: str) -> None:
    environ = {
        "ASTRA_DB_SECURE_BUNDLE_PATH": bundle,
        "ASTRA_DB_TOKEN": "t",
        "ASTRA_DB_CLIENT_ID": "id",
        "ASTRA_DB_CLIENT_SECRET": "s",
    }
    assert list(problems(environ)) == ["ASTRA_DB_TOKEN"]


def test_astra_variables_without_a_bundle() -> None:
    environ = {"ASTRA_DB_TOKEN": "t", "ASTRA_DB_KEYSPACE": "ks"}
    message = "needs ASTRA_DB_SECURE_BUNDLE_PATH; set that too, or remove this"
    assert problems(environ) == {"ASTRA_DB_TOKEN": message, "ASTRA_DB_KEYSPACE": message}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ASGI_CASSANDRA_REQEST_TIMEOUT", "ASGI_CASSANDRA_REQUEST_TIMEOUT"),
        ("ASGI_CASSANDRA_LOGLEVEL", "ASGI_CASSANDRA_LOG_LEVEL"),
        ("asgi_cassandra_log_level", "ASGI_CASSANDRA_LOG_LEVEL"),
        ("ASGI_CASSANDRA_HOSTS", "CASSANDRA_HOSTS"),
    ],
)
def test_mistyped_variable(name: str, meant: str) -> None:
    assert problems({name: "1"}) == {name: f"is not a setting; did you mean {meant}?"}


def test_unknown_variable_without_suggestion() -> None:
    found = problems({"ASGI_CASSANDRA_XYZZY": "1"})
    assert found == {"ASGI_CASSANDRA_XYZZY": "is not a setting; see docs/settings.md for the list"}


def test_other_variables_are_ignored() -> None:
    environ = {"CASSANDRA_HOME": "/opt", "PATH": "/bin", "ASGI_OTHER": "1", "ASGI_CASSANDRA_XYZZY": ""}
    assert load(environ) == Settings()


# Reported together, and without secrets


def test_problems_are_reported_in_documentation_order() -> None:
    environ = {
        "ASGI_CASSANDRA_MAX_IN_FLIGHT": "0",
        "ASGI_CASSANDRA_LOG_LVL": "info",
        "CASSANDRA_SSL_CERTFILE": "/nowhere/cert.pem",
        "CASSANDRA_USERNAME": "app",
        "CASSANDRA_PORT": "abc",
        "CASSANDRA_HOSTS": "a,:b",
    }
    with pytest.raises(SettingsError) as caught:
        load(environ)
    lines = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "ASGI_CASSANDRA_LOG_LVL",
        "CASSANDRA_HOSTS",
        "CASSANDRA_PORT",
        "CASSANDRA_PASSWORD",
        "CASSANDRA_SSL_CERTFILE",
        "CASSANDRA_SSL_CERTFILE",
        "CASSANDRA_SSL_KEYFILE",
        "ASGI_CASSANDRA_MAX_IN_FLIGHT",
    ]
    assert lines == [f"{problem.name}: {problem.message}" for problem in caught.value.problems]


SECRET_NAMES = [field.env for field in setting_fields() if field.secret]


@pytest.mark.parametrize("name", [field.env for field in setting_fields()])
def test_no_problem_repeats_a_value(name: str) -> None:
    text = "S3cret-S3cret-"
    environ = {"ASGI_CASSANDRA_XYZZY": text, name: f"{text}{text},{text}\x00"}
    with pytest.raises(SettingsError) as caught:
        load(environ)
    assert "S3cret" not in str(caught.value)
    assert "S3cret" not in repr(caught.value)


def settings_with_all_secrets(bundle: str) -> Settings:
    environ = {name: SECRET for name in SECRET_NAMES if name != "ASTRA_DB_TOKEN"} | {API_KEYS: f"ci:read:{SECRET}"}
    others = {"CASSANDRA_USERNAME": "u", "ASTRA_DB_CLIENT_ID": "id", "ASTRA_DB_SECURE_BUNDLE_PATH": bundle}
    return load({**environ, **others})


def test_printed_settings_contain_no_secret(bundle: str) -> None:
    settings = settings_with_all_secrets(bundle)
    for shown in (repr(settings), str(settings), f"{settings}", repr(msgspec.structs.asdict(settings))):
        assert SECRET not in shown
        assert shown.count("********") == 5


def test_encoded_settings_contain_no_secret(bundle: str) -> None:
    settings = settings_with_all_secrets(bundle)
    with pytest.raises(TypeError) as caught:
        msgspec.json.encode(settings)
    assert SECRET not in str(caught.value)
    assert SECRET.encode() not in msgspec.json.encode(settings, enc_hook=str)


@given(st.dictionaries(st.sampled_from([field.env for field in setting_fields()]), st.text(), max_size=5))
def test_any_text_gives_settings_or_problems(environ: dict[str, str]) -> None:
    try:
        load(environ)
        names = set()
    except SettingsError as error:
        names = {problem.name for problem in error.problems}
    assert names <= {field.env for field in setting_fields()}


# Constructed in code


def test_typed_values_are_checked_like_texts() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(cassandra_port=0, cassandra_hosts=(), log_level="trace", cassandra_username="u")  # type: ignore[arg-type]
    assert [problem.name for problem in caught.value.problems] == [
        "CASSANDRA_HOSTS",
        "CASSANDRA_PORT",
        "CASSANDRA_PASSWORD",
        "ASGI_CASSANDRA_LOG_LEVEL",
    ]


def test_plain_text_is_not_accepted_as_a_secret() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(cassandra_username="u", cassandra_password=SECRET)  # type: ignore[arg-type]
    assert [problem.name for problem in caught.value.problems] == ["CASSANDRA_PASSWORD"]
    assert SECRET not in str(caught.value)


def test_hosts_with_a_bundle_in_code(bundle: str) -> None:
    with pytest.raises(SettingsError, match="CASSANDRA_HOSTS"):
        Settings(
            cassandra_hosts=(ContactPoint("db1"),),
            astra_db_secure_bundle_path=Path(bundle),
            astra_db_token=Secret("t"),
        )


# The file, the environment and the overrides


def test_overrides_win_over_environment_over_file(tmp_path: Path) -> None:
    names = ("CASSANDRA_PORT", "CASSANDRA_KEYSPACE", "CASSANDRA_LOCAL_DC")
    env_file = file(tmp_path / ".env", "CASSANDRA_PORT=1\nCASSANDRA_KEYSPACE=file\nCASSANDRA_LOCAL_DC=file\n")
    environ = {names[0]: "2", names[1]: "environment"}
    settings = Settings.load(environ, env_file, {names[0]: "3"})
    assert settings.cassandra_port == 3
    assert settings.cassandra_keyspace == "environment"
    assert settings.cassandra_local_dc == "file"


def test_empty_variable_hides_the_file(tmp_path: Path) -> None:
    env_file = file(tmp_path / ".env", "CASSANDRA_PORT=1\n")
    assert Settings.load({"CASSANDRA_PORT": ""}, env_file).cassandra_port == 9042


def test_load_reads_process_environment_and_working_directory_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for field in setting_fields():
        monkeypatch.delenv(field.env, raising=False)
    file(tmp_path / ".env", "CASSANDRA_PORT=1\nCASSANDRA_KEYSPACE=file\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CASSANDRA_PORT", "2")
    settings = Settings.load()
    assert (settings.cassandra_port, settings.cassandra_keyspace) == (2, "file")


def test_missing_file_counts_as_empty(tmp_path: Path) -> None:
    assert Settings.load({}, tmp_path / ".env") == Settings()


def test_env_file_syntax(tmp_path: Path) -> None:
    text = "\ufeff# a comment\n\nexport CASSANDRA_USERNAME='app'\r\nCASSANDRA_PASSWORD=\"a $HOME ${PATH} #b\"\nOTHER\n"
    text += "CASSANDRA_LOCAL_DC=dc1  # here\nCASSANDRA_PORT=1\nCASSANDRA_PORT=\n"
    settings = Settings.load({}, file(tmp_path / ".env", text))
    assert settings.cassandra_username == "app"
    assert settings.cassandra_password == Secret("a $HOME ${PATH} #b")
    assert settings.cassandra_local_dc == "dc1"
    assert settings.cassandra_port == 9042


def env_file_problems(path: Path, environ: Mapping[str, str]) -> tuple[Problem, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ, path)
    return caught.value.problems


def test_mistyped_variable_in_the_file(tmp_path: Path) -> None:
    (problem,) = env_file_problems(file(tmp_path / ".env", "ASGI_CASSANDRA_MAX_WAITIN=5\n"), {})
    assert problem.name == "ASGI_CASSANDRA_MAX_WAITIN"


# Security


API_KEYS = "ASGI_CASSANDRA_API_KEYS"


@pytest.mark.parametrize(
    "key",
    [
        f"ci:read:{SECRET}",
        f"ci@example.org:read+write+operate:{SECRET}",
        f"a.b_c-d:read.users+write.users:{'!' * 32}",
        f"a:read.Events_2+write._{'t' * 221}:{SECRET}",
    ],
)
def test_api_key(key: str) -> None:
    assert load({API_KEYS: f"{key}, other:read:{'x' * 32}"}).api_keys == (Secret(key), Secret(f"other:read:{'x' * 32}"))


@pytest.mark.parametrize(
    "key",
    [
        SECRET,
        f"ci:{SECRET}",
        f"ci::{SECRET}",
        f"ci:admin:{SECRET}",
        f"ci:read+:{SECRET}",
        f"ci:read.:{SECRET}",
        f"ci:read users:{SECRET}",
        f":read:{SECRET}",
        f"c i:read:{SECRET}",
        f"ci:read:{SECRET[:31]}",
        f"ci:read:{SECRET[:31]}\u00e4",
        f"ci:read:{SECRET}:{SECRET}",
        f"ci:read:{SECRET},b",
    ],
)
def test_bad_api_key_is_refused_and_not_repeated(key: str) -> None:
    found = problems({API_KEYS: key})
    assert found[API_KEYS].startswith("is not valid; allowed: name:scopes:secret")
    assert SECRET[:31] not in str(found)


def test_secret_of_two_api_keys_is_refused() -> None:
    found = problems({API_KEYS: f"a:read:{SECRET},b:write:{SECRET}"})
    assert found == {API_KEYS: "has the same secret in several keys; each key needs its own"}
    rotating = load({API_KEYS: f"a:read:{SECRET},a:read:{SECRET}2"})
    assert len(rotating.api_keys) == 2
    assert SECRET not in repr(rotating)


@pytest.mark.parametrize("origin", ["*", "https://App.example.org", "http://localhost:3000", "http://[::1]:8080"])
def test_cors_origin(origin: str) -> None:
    assert load({"ASGI_CASSANDRA_CORS_ORIGINS": origin}).cors_origins == (origin.lower(),)


@pytest.mark.parametrize(
    "origins", ["null", "app.example.org", "https://a/", "https://*.a", "https://a,b", "https://a;b", "*,https://a"]
)
def test_bad_cors_origin(origins: str) -> None:
    assert list(problems({"ASGI_CASSANDRA_CORS_ORIGINS": origins})) == ["ASGI_CASSANDRA_CORS_ORIGINS"]


@pytest.mark.parametrize("host", ["api.example.org", "*.example.org", "localhost", "10.0.0.1", "[::1]"])
def test_trusted_host(host: str) -> None:
    assert load({"ASGI_CASSANDRA_TRUSTED_HOSTS": host}).trusted_hosts == (host,)


@pytest.mark.parametrize("host", ["*", "a:80", "http://a", "a.*", "*.", "a b", "a..b", "a,b/"])
def test_bad_trusted_host(host: str) -> None:
    assert list(problems({"ASGI_CASSANDRA_TRUSTED_HOSTS": host})) == ["ASGI_CASSANDRA_TRUSTED_HOSTS"]
