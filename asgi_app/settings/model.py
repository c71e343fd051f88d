"""Settings: every variable the service reads, declared once as a typed field and checked before anything connects.

`Settings` is the declaration. What reads it (`Settings.load`, the command line options, the table in the docs) goes
through `setting_fields`, so a new setting is one new field. No problem ever repeats the value it is about: what was
put under the wrong name may be a password.
"""

import difflib
import importlib.util
import ipaddress
import logging
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args, get_origin

import msgspec

from asgi_app.settings.env_file import read_env_file
from asgi_app.settings.metrics_directory import DIRECTORY, make_directory, named_directory
from asgi_app.settings.service_links import service_links

OWN_PREFIX = "ASGI_CASSANDRA_"

Consistency = Literal[
    "ONE", "TWO", "THREE", "QUORUM", "ALL", "LOCAL_ONE", "LOCAL_QUORUM", "EACH_QUORUM"
]  # ANY cannot read and the serial levels cannot write, so none of them can be the default for both
SerialConsistency = Literal["LOCAL_SERIAL", "SERIAL"]
ProtocolVersion = Literal[3, 4, 5]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["console", "json"]

Source = Literal["file", "environment", "option"]
"""Where the text of a variable comes from."""

logger = logging.getLogger("asgi_app.settings")


class Secret:
    """A text that shows itself only to `reveal`; `repr`, `str` and `format` give asterisks.

    Not a `str`, so that no encoder, log formatter or f-string can write the value by accident.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself."""
        return self._value

    def __repr__(self) -> str:
        return "********"

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(_comparable(self._value), _comparable(other._value))

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)


def _comparable(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class Problem(NamedTuple):
    """What is wrong with one variable (or with the `.env` file), and what is allowed instead."""

    name: str
    message: str


class SettingsError(Exception):
    """The settings cannot be used. `problems` holds every one found; `str()` is one line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{problem.name}: {problem.message}" for problem in self.problems))


class ContactPoint(msgspec.Struct, frozen=True):
    """One Cassandra node to start from: a host name or address, and a port unless it is CASSANDRA_PORT."""

    host: str
    port: int | None = None


def _setting(env: str, description: str, allowed: str = "", **constraints: Any) -> msgspec.Meta:
    """A field's declaration; `allowed` says in words what the constraints or the parser cannot say themselves."""
    extra = {"env": env, "allowed": allowed}
    return msgspec.Meta(description=description, extra=extra, **constraints)


_KEYSPACE = {"pattern": r"[A-Za-z0-9_]{1,48}", "allowed": "1 to 48 letters, digits or underscores"}
_FILE = {"allowed": "a readable file; a relative path starts at the working directory"}
_SCOPE = r"(read|write|operate)(\.[a-z][a-z0-9_-]{0,63})?"
_API_KEY = rf"[A-Za-z0-9._@-]{{1,64}}:{_SCOPE}(\+{_SCOPE})*:[!-+\--9;-~]{{32,}}"
_MAX_BYTES = 15 * 1024 * 1024  # a Cassandra node takes at most 16 MiB in one message, and ours has a frame around it


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the service can be told. A value of this type has passed every check.

    `Settings.load` reads the variables; `Settings(...)` takes the typed values (times in seconds, sizes in bytes) and
    applies the same checks. Both raise `SettingsError` with all problems at once. Secrets are `Secret` values.
    """

    cassandra_hosts: Annotated[
        tuple[ContactPoint, ...],
        _setting(
            "CASSANDRA_HOSTS",
            "The nodes to start from, separated by commas. The others are found through them.",
            allowed="host, host:port, IPv6 address or [IPv6 address]:port, separated by commas",
        ),
    ] = (ContactPoint("localhost"),)
    cassandra_port: Annotated[
        int,
        _setting(
            "CASSANDRA_PORT",
            "The CQL port of every node that is named without one. Not used with an Astra bundle.",
            ge=1,
            le=65535,
        ),
    ] = 9042
    cassandra_keyspace: Annotated[
        str,
        _setting("CASSANDRA_KEYSPACE", "The keyspace that holds the served tables.", **_KEYSPACE),
    ] = "test_keyspace"
    cassandra_username: Annotated[
        str | None,
        _setting(
            "CASSANDRA_USERNAME",
            "The role to log in as; needs CASSANDRA_PASSWORD. Not used with an Astra bundle.",
        ),
    ] = None
    cassandra_password: Annotated[
        Secret | None, _setting("CASSANDRA_PASSWORD", "The password of CASSANDRA_USERNAME.")
    ] = None
    cassandra_local_dc: Annotated[
        str | None,
        _setting(
            "CASSANDRA_LOCAL_DC",
            "The data centre to send requests to. Not set: the one of the first contacted node, so all of "
            "CASSANDRA_HOSTS should then be in one.",
        ),
    ] = None
    cassandra_consistency: Annotated[
        Consistency, _setting("CASSANDRA_CONSISTENCY", "The consistency level of reads and writes.")
    ] = "LOCAL_QUORUM"
    serial_consistency: Annotated[
        SerialConsistency,
        _setting("ASGI_CASSANDRA_SERIAL_CONSISTENCY", "The consistency level of conditions (IF EXISTS and the like)."),
    ] = "LOCAL_SERIAL"
    cassandra_connection_timeout: Annotated[
        float,
        _setting(
            "CASSANDRA_CONNECTION_TIMEOUT",
            "Seconds a node may take to accept a connection, and to answer on the control connection.",
            gt=0,
            le=300,
        ),
    ] = 5.0
    cassandra_idle_heartbeat_interval: Annotated[
        float,
        _setting(
            "CASSANDRA_IDLE_HEARTBEAT_INTERVAL",
            "Seconds after which a silent connection is asked for a sign of life. 0 turns this off.",
            ge=0,
            le=3600,
        ),
    ] = 30.0
    cassandra_ssl_enabled: Annotated[
        bool,
        _setting(
            "CASSANDRA_SSL_ENABLED",
            "Whether to connect with TLS and verify the nodes' certificates. An Astra bundle always uses TLS.",
        ),
    ] = False
    cassandra_ssl_ca_certs: Annotated[
        Path | None,
        _setting(
            "CASSANDRA_SSL_CA_CERTS",
            "PEM file of the authorities that sign the nodes' certificates. Not set: those the system trusts.",
            **_FILE,
        ),
    ] = None
    cassandra_ssl_certfile: Annotated[
        Path | None,
        _setting(
            "CASSANDRA_SSL_CERTFILE",
            "PEM file of the certificate shown to the nodes, followed by its chain; needs CASSANDRA_SSL_KEYFILE.",
            **_FILE,
        ),
    ] = None
    cassandra_ssl_keyfile: Annotated[
        Path | None,
        _setting("CASSANDRA_SSL_KEYFILE", "PEM file of that certificate's key, without a pass phrase.", **_FILE),
    ] = None
    ssl_check_hostname: Annotated[
        bool,
        _setting(
            "ASGI_CASSANDRA_SSL_CHECK_HOSTNAME",
            "Whether a node's certificate must name the node. The driver resolves names first, so the certificate "
            "must hold the node's IP address.",
        ),
    ] = True
    astra_db_secure_bundle_path: Annotated[
        Path | None,
        _setting(
            "ASTRA_DB_SECURE_BUNDLE_PATH",
            "The secure connect bundle (zip) of an Astra database; needs a token, or a client id and its secret. "
            "Cannot be combined with CASSANDRA_HOSTS.",
            **_FILE,
        ),
    ] = None
    astra_db_client_id: Annotated[
        str | None,
        _setting("ASTRA_DB_CLIENT_ID", "Astra client id; needs ASTRA_DB_CLIENT_SECRET."),
    ] = None
    astra_db_client_secret: Annotated[
        Secret | None, _setting("ASTRA_DB_CLIENT_SECRET", "The secret of ASTRA_DB_CLIENT_ID.")
    ] = None
    astra_db_token: Annotated[
        Secret | None,
        _setting("ASTRA_DB_TOKEN", "Astra application token, in place of a client id and its secret."),
    ] = None
    astra_db_keyspace: Annotated[
        str | None,
        _setting(
            "ASTRA_DB_KEYSPACE",
            "The keyspace when a bundle is set; CASSANDRA_KEYSPACE when this is not set.",
            **_KEYSPACE,
        ),
    ] = None
    protocol_version: Annotated[
        ProtocolVersion,
        _setting(
            "ASGI_CASSANDRA_PROTOCOL_VERSION",
            "The version of Cassandra's native protocol. 4 is spoken by Cassandra 2.2 and later, Astra and ScyllaDB, "
            "and saves the checksums that 5 computes in pure Python.",
        ),
    ] = 4
    request_timeout: Annotated[
        float,
        _setting(
            "ASGI_CASSANDRA_REQUEST_TIMEOUT",
            "Seconds a request may take when it has no X-Request-Timeout header.",
            gt=0,
            le=86400,
        ),
    ] = 30.0
    max_request_timeout: Annotated[
        float,
        _setting(
            "ASGI_CASSANDRA_MAX_REQUEST_TIMEOUT",
            "The most seconds an X-Request-Timeout header may ask for.",
            gt=0,
            le=86400,
        ),
    ] = 300.0
    stream_timeout: Annotated[
        float,
        _setting(
            "ASGI_CASSANDRA_STREAM_TIMEOUT",
            "Seconds a whole stream may take; the request timeout bounds only the time to its first byte.",
            gt=0,
            le=604800,
        ),
    ] = 3600.0
    send_timeout: Annotated[
        float,
        _setting(
            "ASGI_CASSANDRA_SEND_TIMEOUT",
            "Seconds a client of a stream may take none of what was sent to it before its connection is dropped.",
            gt=0,
            le=3600,
        ),
    ] = 30.0
    max_streams: Annotated[
        int,
        _setting("ASGI_CASSANDRA_MAX_STREAMS", "Streams open at once; one more is refused with 503.", ge=1, le=100_000),
    ] = 64
    max_page_bytes: Annotated[
        int,
        _setting(
            "ASGI_CASSANDRA_MAX_PAGE_BYTES",
            "What a page of a stream should weigh at most: where rows are fat, fewer are asked for at once.",
            ge=1024,
            le=256 * 1024 * 1024,
        ),
    ] = 4 * 1024 * 1024
    gzip: Annotated[
        bool, _setting("ASGI_CASSANDRA_GZIP", "Compress streams for clients that accept gzip, page by page.")
    ] = False
    max_in_flight: Annotated[
        int,
        _setting(
            "ASGI_CASSANDRA_MAX_IN_FLIGHT",
            "How many statements a process may have at Cassandra at once.",
            ge=1,
            le=32768,  # the stream ids of one driver connection
        ),
    ] = 256
    max_stream_pages: Annotated[
        int,
        _setting(
            "ASGI_CASSANDRA_MAX_STREAM_PAGES",
            "How many of the statements in flight may be pages of streams; never more than half of them.",
            ge=1,
            le=32768,
        ),
    ] = 8
    stream_pages_beside_reads: Annotated[
        int,
        _setting(
            "ASGI_CASSANDRA_STREAM_PAGES_BESIDE_READS",
            "How many of them while others read or write, who would wait behind; a page that has waited for a second "
            "goes on all the same.",
            ge=1,
            le=32768,
        ),
    ] = 1
    page_bytes_beside_reads: Annotated[
        int,
        _setting(
            "ASGI_CASSANDRA_PAGE_BYTES_BESIDE_READS",
            "What a page of a stream should weigh at most while others read or write, who would wait behind it; never "
            "more than ASGI_CASSANDRA_MAX_PAGE_BYTES.",
            ge=1024,
            le=256 * 1024 * 1024,
        ),
    ] = 64 * 1024
    max_waiting: Annotated[
        int,
        _setting(
            "ASGI_CASSANDRA_MAX_WAITING",
            "How many statements may wait for a place in flight; more are answered 503 at once.",
            ge=0,
            le=1_000_000,
        ),
    ] = 256
    max_wait: Annotated[
        float,
        _setting(
            "ASGI_CASSANDRA_MAX_WAIT",
            "Seconds a statement may wait for a place in flight before its request is answered 503.",
            ge=0,
            le=300,
        ),
    ] = 1.0
    max_body_bytes: Annotated[
        int,
        _setting(
            "ASGI_CASSANDRA_MAX_BODY_BYTES",
            "The largest request body, in bytes; a larger one is answered 413.",
            ge=1,
            le=_MAX_BYTES,
        ),
    ] = 1048576
    max_batch_bytes: Annotated[
        int,
        _setting(
            "ASGI_CASSANDRA_MAX_BATCH_BYTES",
            "The largest logged batch, in estimated bytes; a larger one is answered 413. Keep it below the "
            "server's batch_size_fail_threshold, which is 50 KiB by default.",
            ge=1,
            le=_MAX_BYTES,
        ),
    ] = 46080
    max_json_depth: Annotated[
        int,
        _setting(
            "ASGI_CASSANDRA_MAX_JSON_DEPTH",
            "How deeply arrays and objects of a request body may be nested.",
            ge=1,
            le=200,  # well inside Python's recursion limit
        ),
    ] = 32
    max_url_bytes: Annotated[
        int,
        _setting(
            "ASGI_CASSANDRA_MAX_URL_BYTES",
            "The longest path with its query, in bytes as sent; a longer one is answered 414.",
            ge=256,
            le=1_048_576,
        ),
    ] = 8192
    max_header_bytes: Annotated[
        int,
        _setting(
            "ASGI_CASSANDRA_MAX_HEADER_BYTES",
            "The most bytes all header fields of a request may have together; more are answered 431.",
            ge=1024,
            le=1_048_576,
        ),
    ] = 16384
    header_timeout: Annotated[
        float,
        _setting(
            "ASGI_CASSANDRA_HEADER_TIMEOUT",
            "Seconds in which the head of a request must arrive; a slower one is answered 408. Under `serve` and "
            "`demo` alone; other servers have their own.",
            gt=0,
            le=3600,
        ),
    ] = 10.0
    body_timeout: Annotated[
        float,
        _setting(
            "ASGI_CASSANDRA_BODY_TIMEOUT",
            "Seconds a client may send nothing of a body that is not whole; then it is answered 408. The deadline of "
            "the request bounds the whole body.",
            gt=0,
            le=3600,
        ),
    ] = 30.0
    keep_alive: Annotated[
        float,
        _setting(
            "ASGI_CASSANDRA_KEEP_ALIVE",
            "Seconds a connection may be idle between two requests; then it is closed. It must be longer than the "
            "balancer in front keeps its connections. Under `serve` and `demo` alone; other servers have their own.",
            gt=0,
            le=3600,
        ),
    ] = 75.0  # AWS load balancers and nginx keep idle connections for 60 s, and must be the first to close
    page_keys: Annotated[
        tuple[Secret, ...],
        _setting(
            "ASGI_CASSANDRA_PAGE_KEYS",
            "The keys that encrypt page tokens, separated by commas. The first one issues, all of them are accepted. "
            "Not set: each process makes its own at start (serve: one for its workers), so a token is good neither in "
            "another process nor after a restart, and the first one logs a warning.",
            allowed="keys of at least 32 characters, separated by commas",
            min_length=32,
        ),
    ] = ()
    page_token_lifetime: Annotated[
        float,
        _setting(
            "ASGI_CASSANDRA_PAGE_TOKEN_LIFETIME",
            "Seconds for which a page token is good; 0 is for ever.",
            ge=0,
            le=31_536_000,
        ),
    ] = 0.0
    admin_token: Annotated[
        Secret | None,
        _setting(
            "ASGI_CASSANDRA_ADMIN_TOKEN",
            "The bearer token of POST /shutdown. Not set: that endpoint answers 404.",
            allowed="at least 16 visible ASCII characters",
            pattern="[!-~]{16,}",
        ),
    ] = None
    api_keys: Annotated[
        tuple[Secret, ...],
        _setting(
            "ASGI_CASSANDRA_API_KEYS",
            "The keys that clients send as `Authorization: Bearer` or `X-API-Key`. Not set: everybody may do "
            "everything.",
            allowed="name:scopes:secret, separated by commas; a scope is read, write or operate, of one resource with "
            "its name (read.users), several are joined by +; a secret has at least 32 visible ASCII characters but "
            "comma and colon, and is given once",
            pattern=_API_KEY,
        ),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...],
        _setting(
            "ASGI_CASSANDRA_CORS_ORIGINS",
            "The origins whose pages a browser may let read answers. Not set: none, and OPTIONS is 405.",
            allowed="origins such as https://app.example.org, without a path, separated by commas; or * alone",
            pattern=r"\*|[a-z][a-z0-9+.-]*://[a-z0-9._-]+(:[0-9]{1,5})?|[a-z][a-z0-9+.-]*://\[[0-9a-f:.]+\](:[0-9]{1,5})?",
        ),
    ] = ()
    trusted_hosts: Annotated[
        tuple[str, ...],
        _setting(
            "ASGI_CASSANDRA_TRUSTED_HOSTS",
            "The names a Host header may have; another is answered 400. Not set: any.",
            allowed="names without a port, separated by commas; *.example.org is every name below it",
            pattern=r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]",
        ),
    ] = ()
    security_headers: Annotated[
        bool,
        _setting(
            "ASGI_CASSANDRA_SECURITY_HEADERS",
            "Whether every answer carries X-Content-Type-Options, X-Frame-Options and Referrer-Policy.",
        ),
    ] = True
    hsts_seconds: Annotated[
        int,
        _setting(
            "ASGI_CASSANDRA_HSTS_SECONDS",
            "The max-age of Strict-Transport-Security, for a service that is reached by HTTPS alone. 0 sends none.",
            ge=0,
            le=63_072_000,
        ),
    ] = 0
    shutdown_grace: Annotated[
        float,
        _setting(
            "ASGI_CASSANDRA_SHUTDOWN_GRACE",
            "Seconds that requests and streams under way may still take when the service ends; what is not done then "
            "is cut.",
            ge=0,
            le=3600,
        ),
    ] = 30.0
    drain_delay: Annotated[
        float,
        _setting(
            "ASGI_CASSANDRA_DRAIN_DELAY",
            "Seconds for which an ending service that is already not ready goes on to accept requests, so that load "
            "balancers notice first. The grace period comes after it.",
            ge=0,
            le=300,
        ),
    ] = 0.0
    diagnostics: Annotated[
        bool | None,
        _setting(
            "ASGI_CASSANDRA_DIAGNOSTICS",
            "Whether the endpoints that demonstrate behaviour are served. Not set: yes in the built-in application, "
            "no in one made by create_app.",
        ),
    ] = None
    log_level: Annotated[LogLevel, _setting("ASGI_CASSANDRA_LOG_LEVEL", "The least severe records to log.")] = "info"
    log_format: Annotated[
        LogFormat,
        _setting(
            "ASGI_CASSANDRA_LOG_FORMAT",
            "How serve and demo write the log: lines for people, or a JSON object a line.",
        ),
    ] = "console"
    slow_statement: Annotated[
        float,
        _setting(
            "ASGI_CASSANDRA_SLOW_STATEMENT",
            "Seconds from which on a statement is logged as slow: its text, never its values. 0 turns this off.",
            ge=0,
            le=3600,
        ),
    ] = 1.0
    server_timing: Annotated[
        bool,
        _setting(
            "ASGI_CASSANDRA_SERVER_TIMING",
            "Whether answers tell in a Server-Timing header how long they waited and how long Cassandra took.",
        ),
    ] = False
    otel: Annotated[
        bool,
        _setting(
            "ASGI_CASSANDRA_OTEL",
            "Whether requests and statements are OpenTelemetry spans. Needs the extra otel.",
        ),
    ] = False
    write_timestamp_margin: Annotated[
        float,
        _setting(
            "ASGI_CASSANDRA_WRITE_TIMESTAMP_MARGIN",
            "How many seconds in the past the timestamp of a created row lies. Must be more than the clocks of the "
            "service and the nodes ever differ, or a change right after the creation can be lost.",
            ge=1,
            le=3600,
        ),
    ] = 60.0
    speculative_delay: Annotated[
        float,
        _setting(
            "ASGI_CASSANDRA_SPECULATIVE_DELAY",
            "Seconds after which an unanswered idempotent statement is sent to another node too. 0 turns this off.",
            ge=0,
            le=60,
        ),
    ] = 0.5
    max_prepared: Annotated[
        int,
        _setting("ASGI_CASSANDRA_MAX_PREPARED", "How many prepared statements are kept.", ge=1, le=100_000),
    ] = 512
    health_timeout: Annotated[
        float,
        _setting(
            "ASGI_CASSANDRA_HEALTH_TIMEOUT",
            "Seconds Cassandra may take to answer the ping of /health and /readyz.",
            gt=0,
            le=60,
        ),
    ] = 1.0
    health_ttl: Annotated[
        float,
        _setting("ASGI_CASSANDRA_HEALTH_TTL", "Seconds the outcome of that ping is used again.", ge=0, le=60),
    ] = 0.5

    def __post_init__(self) -> None:
        problems = [*_bad_values(self), *(problem for rule in _RULES for problem in rule(self))]
        if problems:
            raise SettingsError(_in_order(problems))

    @property
    def keyspace(self) -> str:
        """The keyspace in effect: Astra's own when a bundle is set and it is given, else CASSANDRA_KEYSPACE."""
        if self.astra_db_secure_bundle_path and self.astra_db_keyspace:
            return self.astra_db_keyspace
        return self.cassandra_keyspace

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str] | None = None,
        env_file: Path | None = Path(".env"),
        overrides: Mapping[str, str] | None = None,
    ) -> Self:
        """Return the settings from `overrides` (options by variable name), else `environ`, else `env_file`.

        `environ` defaults to the environment of the process, `env_file` to `.env` in the working directory; a file
        that does not exist is an empty one, and `None` reads none. Values of the file are taken literally: `$NAME`
        is not replaced. A variable that is empty in the end counts as not set, so an empty one in the environment
        also hides the one in the file. What Kubernetes and Docker set in the environment for services that are named
        like ours (`asgi_app.settings.service_links`) is left out.

        Raises `SettingsError` with everything that is wrong.
        """
        from_file, problems = _read_env_file(env_file)
        from_environment = _without_service_links(os.environ if environ is None else environ)
        texts, sources = _merged({"file": from_file, "environment": from_environment, "option": overrides or {}})
        values, unparsed = _parsed(texts, sources)
        problems += [*_unknown_variables(texts), *unparsed, *_contradictions(texts)]
        if not problems:
            return cls(**values)
        unknown_values = {problem.name for problem in unparsed}  # their defaults stand in, and say nothing about them
        further = (problem for problem in _violations(values) if problem.name not in unknown_values)
        raise SettingsError(_in_order(dict.fromkeys([*problems, *further])))


def check_metrics_directory() -> None:
    """Make the directory that PROMETHEUS_MULTIPROC_DIR names; raise SettingsError where that cannot be done.

    prometheus-client reads that variable by itself, and would fail at the first figure that it keeps.
    """
    directory = named_directory()
    if directory is not None and (wrong := make_directory(directory)):
        raise SettingsError([Problem(DIRECTORY, wrong)])


class SettingField(NamedTuple):
    """One setting as declared: its field, its variable, the type of its value, its default and what it does."""

    name: str
    env: str
    type: Any
    default: Any
    description: str
    secret: bool
    allowed: str
    constraints: msgspec.Meta

    @property
    def choices(self) -> tuple[str | int, ...]:
        """The only values allowed, for a setting that lists them; else nothing."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()


def setting_fields() -> tuple[SettingField, ...]:
    """Every setting, in the order of the documentation."""
    return tuple(_setting_field(field) for field in msgspec.structs.fields(Settings))


def settings_table() -> str:
    """The Markdown table of every variable, its default and what it does, as it stands in docs/settings.md."""
    rows = (f"| `{field.env}` | {_default_text(field)} | {_explained(field)} |" for field in setting_fields())
    return "\n".join(("| Variable | Default | What it does |", "|---|---|---|", *rows))


def _setting_field(field: msgspec.structs.FieldInfo) -> SettingField:
    declared, meta = get_args(field.type)
    kind = _without_none(declared)
    return SettingField(
        name=field.name,
        env=meta.extra["env"],
        type=kind,
        default=field.default,
        description=meta.description,
        secret=Secret in (kind, *get_args(kind)),
        allowed=meta.extra["allowed"] or _allowed(kind, meta),
        constraints=meta,
    )


def _without_none(declared: Any) -> Any:
    kinds = get_args(declared)
    if type(None) not in kinds:
        return declared
    (kind,) = (kind for kind in kinds if kind is not type(None))
    return kind


def _allowed(kind: Any, meta: msgspec.Meta) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(str(choice) for choice in get_args(kind))
    if kind is bool:
        return "true, false, yes, no, on, off, 1, 0"
    if meta.le is None:
        return ""
    return f"{meta.ge} to {meta.le}" if meta.gt is None else f"more than {meta.gt}, at most {meta.le}"


def _default_text(field: SettingField) -> str:
    default = field.default
    if default is None or default == ():
        return "not set"
    if isinstance(default, tuple):
        return f"`{','.join(point.host for point in default)}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _explained(field: SettingField) -> str:
    return f"{field.description} Allowed: {field.allowed}." if field.allowed else field.description


# Text to value. A parser raises ValueError with the words that follow the variable's name.


def _parse_whole_number(text: str) -> int:
    if not re.fullmatch("-?[0-9]{1,18}", text):
        raise ValueError("is not a whole number")
    return int(text)


def _parse_number(text: str) -> float:
    if not re.fullmatch(r"-?[0-9]*\.?[0-9]+", text):
        raise ValueError("is not a number")
    return float(text)


def _parse_boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered in {"true", "yes", "on", "1"}:
        return True
    if lowered in {"false", "no", "off", "0"}:
        return False
    raise ValueError("is neither true nor false")


def _entries(text: str) -> list[tuple[int, str]]:
    """Return the entries of a list, each with its place; blank ones, as after a last comma, do not count.

    A list of blank entries alone is returned as it is, to be refused: it is a mistake, not an empty list.
    """
    entries = [(place, entry.strip()) for place, entry in enumerate(text.split(","), 1)]
    return [(place, entry) for place, entry in entries if entry] or entries


def _parse_keys(text: str) -> tuple[Secret, ...]:
    return tuple(Secret(key) for _, key in _entries(text))


def _parse_names(text: str) -> tuple[str, ...]:
    return tuple(name.lower() for _, name in _entries(text))


def _parse_hosts(text: str) -> tuple[ContactPoint, ...]:
    return tuple(_parse_host(place, entry) for place, entry in _entries(text))


def _parse_host(number: int, entry: str) -> ContactPoint:
    if _is_ipv6(entry):
        return ContactPoint(entry)
    split = re.fullmatch(r"(?:\[(?P<v6>[^\]]*)\]|(?P<name>[^:]*))(?::(?P<port>[0-9]{1,5}))?", entry)
    if split is None or not (_is_ipv6(split["v6"] or "") or _is_host_name(split["name"] or "")):
        raise ValueError(f"entry {number} is not a host")
    if split["port"] is None:
        return ContactPoint(split["v6"] or split["name"])
    if not 1 <= int(split["port"]) <= 65535:
        raise ValueError(f"entry {number} has a port outside 1 to 65535")
    return ContactPoint(split["v6"] or split["name"], int(split["port"]))


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _is_host_name(text: str) -> bool:
    if re.fullmatch("[0-9.]+", text):  # a resolver may take 10.1 for an address, but nobody means it
        return _is_ipv4(text)
    label = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    return len(text) <= 253 and re.fullmatch(rf"{label}(\.{label})*\.?", text) is not None


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


_PARSERS: Mapping[Any, Callable[[str], object]] = {
    str: str,
    Secret: Secret,
    int: _parse_whole_number,
    float: _parse_number,
    bool: _parse_boolean,
    Path: Path,
    tuple[ContactPoint, ...]: _parse_hosts,
    tuple[Secret, ...]: _parse_keys,
    tuple[str, ...]: _parse_names,
}


def _parse_choice(text: str, choices: tuple[str | int, ...]) -> str | int:
    for choice in choices:
        if str(choice).lower() == text.lower():
            return choice
    raise ValueError("is not one of the choices")


def _merged(given: Mapping[Source, Mapping[str, str]]) -> tuple[dict[str, str], dict[str, Source]]:
    """Return the text of each variable that is not empty, and where it comes from; the last source wins."""
    texts = {name: text for variables in given.values() for name, text in variables.items()}
    sources = {name: source for source, variables in given.items() for name in variables}
    return {name: text for name, text in texts.items() if text.strip()}, sources


def _parse(field: SettingField, text: str, source: Source) -> Any:
    if not _is_unicode(text):
        raise ValueError("is not UTF-8 text")
    if source == "environment" and _is_quoted(text):
        raise ValueError("has quotes around it, which are part of the value outside a shell and .env; leave them out")
    text = _tidied(field, text, source)
    if found := _control_character(*_stripped_entries(field, text)):
        raise ValueError(f"contains the control character {found}{_escape_hint(source)}")
    return _parse_choice(text, field.choices) if field.choices else _PARSERS[field.type](text)


def _tidied(field: SettingField, text: str, source: Source) -> str:
    """Return the value without the blanks and line ends around it; the entries of a list have theirs still.

    A secret may begin or end with a blank, so it loses line ends only: a file it was read from ends with one. In
    `.env` a line end or a tab comes from a backslash within double quotes, and is left for the check to find.
    """
    if _is_list(field):
        return text
    if source == "file":
        return text if field.secret else text.strip(" ")
    return text.strip("\r\n") if field.secret else text.strip()


def _stripped_entries(field: SettingField, text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",")] if _is_list(field) else [text]


def _escape_hint(source: Source) -> str:
    return " (in .env a backslash in double quotes begins an escape: use single quotes)" if source == "file" else ""


def _is_list(field: SettingField) -> bool:
    return get_origin(field.type) is tuple


def _is_quoted(text: str) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] and text[0] in "'\""


def _control_character(*texts: str) -> str | None:
    """Return the first control character as U+000A; None where there is none.

    Line separators and the invisible marks that editors leave count too: no setting contains them on purpose.
    """
    return next((f"U+{ord(it):04X}" for text in texts for it in text if _is_control(it)), None)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Zl", "Zp") or character in "\u200b\ufeff"


def _is_unicode(text: str) -> bool:
    """Whether the operating system's bytes were UTF-8; Python keeps others as surrogates, which no encoder takes."""
    return text.encode("utf-8", "ignore").decode() == text


def _parsed(texts: Mapping[str, str], sources: Mapping[str, Source]) -> tuple[dict[str, Any], list[Problem]]:
    """The typed values by field name, and a problem for each text that is not of its type."""
    values: dict[str, Any] = {}
    problems = []
    for field in setting_fields():
        if field.env in texts:
            try:
                values[field.name] = _parse(field, texts[field.env], sources[field.env])
            except ValueError as error:
                problems.append(_problem(field, str(error)))
    return values, problems


def _problem(field: SettingField, message: str) -> Problem:
    return Problem(field.env, f"{message}; allowed: {field.allowed}" if field.allowed else message)


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    """As documented, so that an operator works down the list; the file and unknown variables come first."""
    places = {field.env: place for place, field in enumerate(setting_fields())}
    return sorted(problems, key=lambda problem: places.get(problem.name, -1))


def _read_env_file(path: Path | None) -> tuple[dict[str, str], list[Problem]]:
    if path is None:
        return {}, []
    texts, sentences = read_env_file(path)
    return texts, [Problem(str(path), sentence) for sentence in sentences]


def _without_service_links(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what Kubernetes and Docker set for services that are named like ours."""
    links = service_links(environ, ("CASSANDRA_", OWN_PREFIX))
    if links:
        logger.info("ignored, as Kubernetes or Docker sets them for a service: %s", ", ".join(sorted(links)))
    return {name: text for name, text in environ.items() if name not in links}


# Checks of the text alone: what was said, whatever the values are.


def _unknown_variables(texts: Mapping[str, str]) -> Iterator[Problem]:
    names = [field.env for field in setting_fields()]
    for name in sorted(texts):
        if name.upper().startswith(OWN_PREFIX) and name not in names:
            yield Problem(name, f"is not a setting; {_suggestion(name, names)}")


def _suggestion(name: str, names: Iterable[str]) -> str:
    by_ending = {_ending(known): known for known in names}  # the shared beginning would make all of them look alike
    close = difflib.get_close_matches(_ending(name.upper()), by_ending, n=1)
    return f"did you mean {by_ending[close[0]]}?" if close else "see docs/settings.md for those there are"


def _ending(name: str) -> str:
    return name.removeprefix("ASGI_").removeprefix("CASSANDRA_")


_HOSTS_AND_BUNDLE = Problem(
    "CASSANDRA_HOSTS", "cannot be combined with ASTRA_DB_SECURE_BUNDLE_PATH, which names the nodes; set one of the two"
)


def _contradictions(texts: Mapping[str, str]) -> Iterator[Problem]:
    if "ASTRA_DB_SECURE_BUNDLE_PATH" in texts and "CASSANDRA_HOSTS" in texts:
        yield _HOSTS_AND_BUNDLE
    for name in ("CASSANDRA_SSL_CA_CERTS", "CASSANDRA_SSL_CERTFILE", "CASSANDRA_SSL_KEYFILE"):
        if name in texts and "CASSANDRA_SSL_ENABLED" not in texts:  # never fall back to plain text unasked
            yield Problem(name, "has no effect while CASSANDRA_SSL_ENABLED is not set; set that to true or false")


# Checks of the values.


def _violations(values: Mapping[str, Any]) -> tuple[Problem, ...]:
    try:
        Settings(**values)
    except SettingsError as error:
        return error.problems
    return ()


def _bad_values(settings: Settings) -> Iterator[Problem]:
    """A problem for each value outside its own field's constraints."""
    for field in setting_fields():
        value = getattr(settings, field.name)
        if value is not None and not all(_is_allowed(field, atom) for atom in _atoms(value)):
            yield _problem(field, "is outside what is allowed")


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


def _control_characters(settings: Settings) -> Iterator[Problem]:
    for field in setting_fields():
        texts = [str(_plain(atom)) for atom in _atoms(getattr(settings, field.name))]
        if found := _control_character(*texts):
            yield _problem(field, f"contains the control character {found}")


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    return value.host if isinstance(value, ContactPoint) else value


def _missing_files(settings: Settings) -> Iterator[Problem]:
    for field in setting_fields():
        path = getattr(settings, field.name)
        if isinstance(path, Path) and not _is_readable(path):
            yield _problem(field, "names no file that can be read")


def _is_readable(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except (OSError, ValueError):  # a name that is too long, or has a NUL, is an error and not just absent
        return False


_PAIRS = (
    ("CASSANDRA_USERNAME", "CASSANDRA_PASSWORD"),
    ("CASSANDRA_SSL_CERTFILE", "CASSANDRA_SSL_KEYFILE"),
    ("ASTRA_DB_CLIENT_ID", "ASTRA_DB_CLIENT_SECRET"),
)


def _broken_pairs(settings: Settings) -> Iterator[Problem]:
    given = _given(settings)
    for pair in _PAIRS:
        if len(given.intersection(pair)) == 1:
            present, missing = sorted(pair, key=lambda name: name not in given)
            yield Problem(missing, f"is not set although {present} is; set both or neither")


def _given(settings: Settings) -> set[str]:
    """The variables whose value is there and not the default."""
    values = ((field, getattr(settings, field.name)) for field in setting_fields())
    return {field.env for field, value in values if value and value != field.default}


def _astra_contradictions(settings: Settings) -> Iterator[Problem]:
    given = _given(settings)
    if "ASTRA_DB_SECURE_BUNDLE_PATH" not in given:
        for name in sorted(name for name in given if name.startswith("ASTRA_DB_")):
            yield Problem(name, "needs ASTRA_DB_SECURE_BUNDLE_PATH; set that or leave this out")
        return
    if "CASSANDRA_HOSTS" in given:
        yield _HOSTS_AND_BUNDLE
    if not given & {"ASTRA_DB_TOKEN", "ASTRA_DB_CLIENT_ID", "ASTRA_DB_CLIENT_SECRET"}:
        yield Problem(
            "ASTRA_DB_SECURE_BUNDLE_PATH",
            "needs credentials; set ASTRA_DB_TOKEN, or ASTRA_DB_CLIENT_ID and ASTRA_DB_CLIENT_SECRET",
        )


def _two_astra_credentials(settings: Settings) -> Iterator[Problem]:
    if settings.astra_db_token and (settings.astra_db_client_id or settings.astra_db_client_secret):
        yield Problem(
            "ASTRA_DB_TOKEN",
            "cannot be combined with ASTRA_DB_CLIENT_ID and ASTRA_DB_CLIENT_SECRET; set one of the two",
        )


def _default_timeout_above_maximum(settings: Settings) -> Iterator[Problem]:
    if settings.request_timeout > settings.max_request_timeout:
        yield Problem(
            "ASGI_CASSANDRA_REQUEST_TIMEOUT", "is more than ASGI_CASSANDRA_MAX_REQUEST_TIMEOUT; at most that is allowed"
        )


def _no_hosts(settings: Settings) -> Iterator[Problem]:
    if not settings.cassandra_hosts:
        yield Problem("CASSANDRA_HOSTS", "names no node; at least one is needed")


def _repeated_api_secret(settings: Settings) -> Iterator[Problem]:
    secrets = [key.reveal().rpartition(":")[2] for key in settings.api_keys]
    if len(set(secrets)) < len(secrets):
        yield Problem("ASGI_CASSANDRA_API_KEYS", "gives one secret to several keys; each needs its own")


def _any_origin_and_others(settings: Settings) -> Iterator[Problem]:
    if "*" in settings.cors_origins and len(settings.cors_origins) > 1:
        yield Problem("ASGI_CASSANDRA_CORS_ORIGINS", "has * beside others; give * alone or leave it out")


def _otel_not_installed(settings: Settings) -> Iterator[Problem]:
    if settings.otel and not _is_installed("opentelemetry", "opentelemetry.trace"):
        yield Problem("ASGI_CASSANDRA_OTEL", "needs OpenTelemetry; install it with pip install 'asgi-cassandra[otel]'")


def _is_installed(*modules: str) -> bool:
    """Whether all are there; a parent before what is in it, which is imported to find that."""
    return all(importlib.util.find_spec(module) is not None for module in modules)


_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    _control_characters,
    _missing_files,
    _broken_pairs,
    _astra_contradictions,
    _two_astra_credentials,
    _default_timeout_above_maximum,
    _no_hosts,
    _repeated_api_secret,
    _any_origin_and_others,
    _otel_not_installed,
)
