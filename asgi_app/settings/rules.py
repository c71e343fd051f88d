"""Check typed values: each one by itself, and those that depend on each other.

Every rule takes all values by field name, defaults included. No problem repeats a value that is not a name of a table:
it may be a secret, if only under the wrong variable.
"""

from __future__ import annotations

import importlib.util
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from asgi_app.settings.fields import SettingField
from asgi_app.settings.values import ContactPoint, Problem, Secret

Fields: TypeAlias = Sequence[SettingField]
Values: TypeAlias = Mapping[str, Any]
Rule: TypeAlias = Callable[[Fields, Values], Iterator[Problem]]

HOSTS_AND_BUNDLE = Problem(
    "CASSANDRA_HOSTS", "cannot be combined with ASTRA_DB_SECURE_BUNDLE_PATH, which names the nodes; set only one"
)


def violations(fields: Fields, values: Values) -> list[Problem]:
    """Return every problem of a complete set of values."""
    return [problem for rule in _RULES for problem in rule(fields, values)]


def in_order(fields: Fields, problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems in the order of the documentation; those of the file and unknown variables come first."""
    places = {field.env: place for place, field in enumerate(fields)}
    return sorted(problems, key=lambda problem: places.get(problem.name, -1))


def control_character(*texts: str) -> str | None:
    """Return the first control character as U+000A; None if there is no control character.

    Line separators and the invisible marks that editors leave count too: no setting contains them on purpose.
    """
    return next((f"U+{ord(it):04X}" for text in texts for it in text if _is_control(it)), None)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Zl", "Zp") or character in "\u200b\ufeff"


# Rules for each value by itself.


def _disallowed_values(fields: Fields, values: Values) -> Iterator[Problem]:
    for field in fields:
        value = values[field.name]
        if value is not None and not all(_is_allowed(field, atom) for atom in _atoms(value)):
            yield field.problem("is not valid")


def _atoms(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _is_allowed(field: SettingField, value: Any) -> bool:
    if field.choices:
        return value in field.choices
    if field.secret:
        return isinstance(value, Secret) and _fits(field.constraints, value.reveal())
    return _fits(field.constraints, value)


def _fits(meta: msgspec.Meta, value: Any) -> bool:
    return (
        (meta.ge is None or value >= meta.ge)
        and (meta.gt is None or value > meta.gt)
        and (meta.le is None or value <= meta.le)
        and (meta.min_length is None or len(value) >= meta.min_length)
        and (meta.pattern is None or re.fullmatch(meta.pattern, value) is not None)
    )


def _control_characters(fields: Fields, values: Values) -> Iterator[Problem]:
    for field in fields:
        texts = [_text_of(atom) for atom in _atoms(values[field.name])]
        if found := control_character(*texts):
            yield field.problem(f"contains the control character {found}")


def _text_of(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    return value.host if isinstance(value, ContactPoint) else str(value)


def _unreadable_files(fields: Fields, values: Values) -> Iterator[Problem]:
    for field in fields:
        path = values[field.name]
        if isinstance(path, Path) and not _is_readable(path):
            yield field.problem("is not a readable file")


def _is_readable(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except (OSError, ValueError):  # a name that is too long or contains a NUL raises, even if nothing has that name
        return False


# Rules for values that depend on each other, or on what is installed.

_PAIRS = (
    ("CASSANDRA_USERNAME", "CASSANDRA_PASSWORD"),
    ("CASSANDRA_SSL_CERTFILE", "CASSANDRA_SSL_KEYFILE"),
    ("ASTRA_DB_CLIENT_ID", "ASTRA_DB_CLIENT_SECRET"),
)
_TLS_FILES = {"CASSANDRA_SSL_CA_CERTS", "CASSANDRA_SSL_CERTFILE", "CASSANDRA_SSL_KEYFILE"}


def _given(fields: Fields, values: Values) -> set[str]:
    """Return the variables whose value is not empty and not the default."""
    return {field.env for field in fields if values[field.name] and values[field.name] != field.default}


def _tls_files_without_tls(fields: Fields, values: Values) -> Iterator[Problem]:
    """Yield a problem for each file for TLS while nobody says whether to use TLS: never fall back to plain text."""
    if values["cassandra_ssl_enabled"] is not None:
        return
    for name in sorted(_given(fields, values) & _TLS_FILES):
        yield Problem(name, "has no effect while CASSANDRA_SSL_ENABLED is not set; set that to true or false")


def _incomplete_pairs(fields: Fields, values: Values) -> Iterator[Problem]:
    given = _given(fields, values)
    for pair in _PAIRS:
        if len(given.intersection(pair)) == 1:
            present, missing = sorted(pair, key=lambda name: name not in given)
            yield Problem(missing, f"is not set although {present} is; set both or neither")


def _astra_contradictions(fields: Fields, values: Values) -> Iterator[Problem]:
    given = _given(fields, values)
    if "ASTRA_DB_SECURE_BUNDLE_PATH" not in given:
        for name in sorted(name for name in given if name.startswith("ASTRA_DB_")):
            yield Problem(name, "needs ASTRA_DB_SECURE_BUNDLE_PATH; set that too, or remove this")
        return
    if "CASSANDRA_HOSTS" in given:
        yield HOSTS_AND_BUNDLE
    if not given & {"ASTRA_DB_TOKEN", "ASTRA_DB_CLIENT_ID", "ASTRA_DB_CLIENT_SECRET"}:
        yield Problem(
            "ASTRA_DB_SECURE_BUNDLE_PATH",
            "needs credentials; set ASTRA_DB_TOKEN, or ASTRA_DB_CLIENT_ID and ASTRA_DB_CLIENT_SECRET",
        )


def _two_astra_credentials(_: Fields, values: Values) -> Iterator[Problem]:
    if values["astra_db_token"] and (values["astra_db_client_id"] or values["astra_db_client_secret"]):
        yield Problem(
            "ASTRA_DB_TOKEN",
            "cannot be combined with ASTRA_DB_CLIENT_ID and ASTRA_DB_CLIENT_SECRET; set the token or the pair",
        )


def _default_timeout_above_maximum(_: Fields, values: Values) -> Iterator[Problem]:
    if values["request_timeout"] > values["max_request_timeout"]:
        yield Problem("ASGI_CASSANDRA_REQUEST_TIMEOUT", "must not be more than ASGI_CASSANDRA_MAX_REQUEST_TIMEOUT")


def _no_hosts(_: Fields, values: Values) -> Iterator[Problem]:
    if not values["cassandra_hosts"]:
        yield Problem("CASSANDRA_HOSTS", "is empty; name at least one node")


def _repeated_api_secret(_: Fields, values: Values) -> Iterator[Problem]:
    secrets = [key.reveal().rpartition(":")[2] for key in values["api_keys"]]
    if len(set(secrets)) < len(secrets):
        yield Problem("ASGI_CASSANDRA_API_KEYS", "has the same secret in several keys; each key needs its own")


def _any_origin_and_others(_: Fields, values: Values) -> Iterator[Problem]:
    if "*" in values["cors_origins"] and len(values["cors_origins"]) > 1:
        yield Problem("ASGI_CASSANDRA_CORS_ORIGINS", "combines * with other origins; use * alone, or remove it")


def _tables(fields: Fields, values: Values) -> Iterator[Problem]:
    for env, setting in ((_TABLES, "tables"), (_WRITABLE, "writable")):
        if message := _list_of_tables(_short_names(setting, fields, values)):
            yield Problem(env, message)
    paths = Counter(_table(name) for name in set(_short_names("tables", fields, values)) if _table(name) != "*")
    if clash := [name for name, times in paths.items() if times > 1]:
        yield Problem(_TABLES, f"names the table {clash[0]} of two keyspaces, and both would have one path")


def _short_names(setting: str, fields: Fields, values: Values) -> list[str]:
    """Return the names of tables in a setting, those of the service's own keyspace without the keyspace.

    What cannot be a name is left out: `_disallowed_values` tells it, without repeating it.
    """
    (field,) = (field for field in fields if field.name == setting)
    is_astra = values["astra_db_secure_bundle_path"] and values["astra_db_keyspace"]
    keyspace = values["astra_db_keyspace" if is_astra else "cassandra_keyspace"]
    return [name.removeprefix(f"{keyspace}.") for name in values[setting] if _is_allowed(field, name)]


def _list_of_tables(names: Sequence[str]) -> str | None:
    """Return what is wrong with a list of tables by itself."""
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        return f"names {twice[0]} twice"
    everything = {_keyspace(name) for name in names if _table(name) == "*"}
    if any(_keyspace(name) in everything and _table(name) != "*" for name in names):
        return "combines * with names of the same keyspace; use * alone, or remove it"
    return None


def _writable_and_not_served(fields: Fields, values: Values) -> Iterator[Problem]:
    served = _short_names("tables", fields, values)
    for name in _short_names("writable", fields, values):
        whole = f"{_keyspace(name)}.*".removeprefix(".")
        if name not in served and whole not in served and not (_table(name) == "*" and _names_of(name, served)):
            yield Problem(_WRITABLE, f"names {name}, which {_TABLES} does not serve; name it there too")


def _names_of(whole: str, served: Sequence[str]) -> bool:
    """Return whether any of the served tables is in the keyspace of `*` or `shop.*`."""
    return any(_keyspace(name) == _keyspace(whole) for name in served)


def _keyspace(name: str) -> str:
    return name.rpartition(".")[0]


def _table(name: str) -> str:
    return name.rpartition(".")[2]


_TABLES, _WRITABLE = "ASGI_CASSANDRA_TABLES", "ASGI_CASSANDRA_WRITABLE"


def _otel_not_installed(_: Fields, values: Values) -> Iterator[Problem]:
    if values["otel"] and not _is_installed("opentelemetry", "opentelemetry.trace"):
        yield Problem("ASGI_CASSANDRA_OTEL", "needs OpenTelemetry; in a clone of the project: pip install '.[otel]'")


def _is_installed(*modules: str) -> bool:
    """Return whether all modules are installed. Name a package before its submodule: `find_spec` imports the parent."""
    return all(importlib.util.find_spec(module) is not None for module in modules)


_RULES: tuple[Rule, ...] = (
    _disallowed_values,
    _control_characters,
    _tls_files_without_tls,
    _unreadable_files,
    _incomplete_pairs,
    _astra_contradictions,
    _two_astra_credentials,
    _default_timeout_above_maximum,
    _no_hosts,
    _repeated_api_secret,
    _any_origin_and_others,
    _otel_not_installed,
    _tables,
    _writable_and_not_served,
)
