"""`Settings`: every variable the service reads, declared once as a typed field and checked before anything connects."""

import os
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Annotated, Any, Self

import msgspec

from asgi_app.settings.env_file import read_env_file
from asgi_app.settings.fields import SettingField, declared_fields, markdown_table, setting
from asgi_app.settings.parsing import OWN_PREFIX, Source, contradictions, merge_sources, parse_values, unknown_variables
from asgi_app.settings.rules import in_order, violations
from asgi_app.settings.service_links import without_service_links
from asgi_app.settings.values import (
    Consistency,
    ContactPoint,
    LogFormat,
    LogLevel,
    Problem,
    ProtocolVersion,
    Secret,
    SerialConsistency,
    SettingsError,
)

_KEYSPACE = {"pattern": r"[A-Za-z0-9_]{1,48}", "allowed": "1 to 48 letters, digits or underscores"}
_TABLE = r"([A-Za-z0-9_]{1,48}\.)?(\*|[A-Za-z0-9_]{1,222})"
_FILE = {"allowed": "a readable file; a relative path starts at the working directory"}
_SCOPE = r"(read|write|operate)(\.[A-Za-z0-9._~-]{1,222})?"
_API_KEY = rf"[A-Za-z0-9._@-]{{1,64}}:{_SCOPE}(\+{_SCOPE})*:[!-+\--9;-~]{{32,}}"
_MAX_BYTES = 15 * 1024 * 1024  # a node accepts at most 16 MiB in one message, headers included


DEFAULT_KEYSPACE = "test_keyspace"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of one application. A value of this type has passed every check.

    `Settings.load` reads the variables; `Settings(...)` takes the typed values (times in seconds, sizes in bytes) and
    applies the same checks. Both raise `SettingsError` with all problems at once. Secrets are `Secret` values.
    """

    cassandra_hosts: Annotated[
        tuple[ContactPoint, ...],
        setting(
            "CASSANDRA_HOSTS",
            "The nodes to connect to first, separated by commas. The driver finds the other nodes through them.",
            allowed="host, host:port, IPv6 address or [IPv6 address]:port, separated by commas",
        ),
    ] = (ContactPoint("localhost"),)
    cassandra_port: Annotated[
        int,
        setting(
            "CASSANDRA_PORT",
            "The CQL port of nodes that CASSANDRA_HOSTS names without a port. Not used with an Astra bundle.",
            ge=1,
            le=65535,
        ),
    ] = 9042
    cassandra_keyspace: Annotated[
        str, setting("CASSANDRA_KEYSPACE", "The keyspace that holds the served tables.", **_KEYSPACE)
    ] = DEFAULT_KEYSPACE
    tables: Annotated[
        tuple[str, ...],
        setting(
            "ASGI_CASSANDRA_TABLES",
            "The tables to serve as Cassandra has them, without a declaration, each at a path of its name. Case counts."
            " Read-only, unless ASGI_CASSANDRA_WRITABLE names them. The built-in tables are not served beside them.",
            allowed="names of tables, separated by commas; * for all of the keyspace; keyspace.name or keyspace.* for "
            "another keyspace",
            keeps_case=True,
            pattern=_TABLE,
        ),
    ] = ()
    writable: Annotated[
        tuple[str, ...],
        setting(
            "ASGI_CASSANDRA_WRITABLE",
            "Those of ASGI_CASSANDRA_TABLES whose rows clients may create, replace, change and delete.",
            allowed="as ASGI_CASSANDRA_TABLES",
            keeps_case=True,
            pattern=_TABLE,
        ),
    ] = ()
    cassandra_username: Annotated[
        str | None,
        setting(
            "CASSANDRA_USERNAME", "The role to log in as; needs CASSANDRA_PASSWORD. Not used with an Astra bundle."
        ),
    ] = None
    cassandra_password: Annotated[
        Secret | None, setting("CASSANDRA_PASSWORD", "The password of CASSANDRA_USERNAME.")
    ] = None
    cassandra_local_dc: Annotated[
        str | None,
        setting(
            "CASSANDRA_LOCAL_DC",
            "The data centre to send requests to. Not set: the data centre of the first node that answers, so all of "
            "CASSANDRA_HOSTS should be in one data centre.",
        ),
    ] = None
    cassandra_consistency: Annotated[
        Consistency, setting("CASSANDRA_CONSISTENCY", "The consistency level of reads and writes.")
    ] = "LOCAL_QUORUM"
    serial_consistency: Annotated[
        SerialConsistency,
        setting(
            "ASGI_CASSANDRA_SERIAL_CONSISTENCY",
            "The serial consistency level of conditional writes (IF EXISTS and the like).",
        ),
    ] = "LOCAL_SERIAL"
    cassandra_connection_timeout: Annotated[
        float,
        setting(
            "CASSANDRA_CONNECTION_TIMEOUT",
            "Seconds within which a node must accept a connection, and answer on the control connection.",
            gt=0,
            le=300,
        ),
    ] = 5.0
    cassandra_idle_heartbeat_interval: Annotated[
        float,
        setting(
            "CASSANDRA_IDLE_HEARTBEAT_INTERVAL",
            "Seconds between heartbeats on an idle connection. 0 turns heartbeats off.",
            ge=0,
            le=3600,
        ),
    ] = 30.0
    cassandra_ssl_enabled: Annotated[
        bool | None,
        setting(
            "CASSANDRA_SSL_ENABLED",
            "Whether to connect with TLS and verify the nodes' certificates. Not set: no, and then no file for TLS may "
            "be set either. An Astra bundle always uses TLS.",
        ),
    ] = None
    cassandra_ssl_ca_certs: Annotated[
        Path | None,
        setting(
            "CASSANDRA_SSL_CA_CERTS",
            "PEM file of the certificate authorities that sign the nodes' certificates. Not set: those that the system"
            " trusts.",
            **_FILE,
        ),
    ] = None
    cassandra_ssl_certfile: Annotated[
        Path | None,
        setting(
            "CASSANDRA_SSL_CERTFILE",
            "PEM file of the client certificate, followed by its chain; needs CASSANDRA_SSL_KEYFILE.",
            **_FILE,
        ),
    ] = None
    cassandra_ssl_keyfile: Annotated[
        Path | None,
        setting(
            "CASSANDRA_SSL_KEYFILE", "PEM file of the key of CASSANDRA_SSL_CERTFILE, without a pass phrase.", **_FILE
        ),
    ] = None
    ssl_check_hostname: Annotated[
        bool,
        setting(
            "ASGI_CASSANDRA_SSL_CHECK_HOSTNAME",
            "Whether a node's certificate must contain the node's address. The driver resolves host names first, so "
            "the certificate must contain the IP address.",
        ),
    ] = True
    astra_db_secure_bundle_path: Annotated[
        Path | None,
        setting(
            "ASTRA_DB_SECURE_BUNDLE_PATH",
            "The secure connect bundle (zip) of an Astra database; needs a token, or a client id and its secret. "
            "Cannot be combined with CASSANDRA_HOSTS.",
            **_FILE,
        ),
    ] = None
    astra_db_client_id: Annotated[
        str | None, setting("ASTRA_DB_CLIENT_ID", "Astra client id; needs ASTRA_DB_CLIENT_SECRET.")
    ] = None
    astra_db_client_secret: Annotated[
        Secret | None, setting("ASTRA_DB_CLIENT_SECRET", "The secret of ASTRA_DB_CLIENT_ID.")
    ] = None
    astra_db_token: Annotated[
        Secret | None, setting("ASTRA_DB_TOKEN", "Astra application token, instead of a client id and its secret.")
    ] = None
    astra_db_keyspace: Annotated[
        str | None,
        setting("ASTRA_DB_KEYSPACE", "The keyspace if a bundle is set. Not set: CASSANDRA_KEYSPACE.", **_KEYSPACE),
    ] = None
    protocol_version: Annotated[
        ProtocolVersion,
        setting(
            "ASGI_CASSANDRA_PROTOCOL_VERSION",
            "The version of Cassandra's native protocol. Cassandra 2.2 and later, Astra and ScyllaDB speak version 4, "
            "which avoids the checksums of version 5 that the driver computes in pure Python.",
        ),
    ] = 4
    request_timeout: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_REQUEST_TIMEOUT",
            "Seconds a request may take if it has no X-Request-Timeout header.",
            gt=0,
            le=86400,
        ),
    ] = 30.0
    max_request_timeout: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_MAX_REQUEST_TIMEOUT",
            "The largest number of seconds that an X-Request-Timeout header may ask for.",
            gt=0,
            le=86400,
        ),
    ] = 300.0
    stream_timeout: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_STREAM_TIMEOUT",
            "Seconds a whole stream may take. The request timeout limits only the time to its first byte.",
            gt=0,
            le=604800,
        ),
    ] = 3600.0
    send_timeout: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_SEND_TIMEOUT",
            "Seconds a client may read nothing of a stream; then its connection is dropped.",
            gt=0,
            le=3600,
        ),
    ] = 30.0
    max_streams: Annotated[
        int,
        setting(
            "ASGI_CASSANDRA_MAX_STREAMS",
            "How many streams may be open at once; a further one is answered 503.",
            ge=1,
            le=100_000,
        ),
    ] = 64
    max_page_bytes: Annotated[
        int,
        setting(
            "ASGI_CASSANDRA_MAX_PAGE_BYTES",
            "Target for the largest page of a stream, in bytes: the larger the rows, the fewer of them are requested "
            "per page.",
            ge=1024,
            le=256 * 1024 * 1024,
        ),
    ] = 4 * 1024 * 1024
    gzip: Annotated[
        bool, setting("ASGI_CASSANDRA_GZIP", "Whether to compress streams, page by page, for clients that accept gzip.")
    ] = False
    max_in_flight: Annotated[
        int,
        setting(
            "ASGI_CASSANDRA_MAX_IN_FLIGHT",
            "How many statements a process may have in flight at once.",
            ge=1,
            le=32768,  # the stream ids of one driver connection
        ),
    ] = 256
    max_stream_pages: Annotated[
        int,
        setting(
            "ASGI_CASSANDRA_MAX_STREAM_PAGES",
            "How many of the statements in flight may be pages of streams; never more than half of them.",
            ge=1,
            le=32768,
        ),
    ] = 8
    stream_pages_beside_reads: Annotated[
        int,
        setting(
            "ASGI_CASSANDRA_STREAM_PAGES_BESIDE_READS",
            "How many pages of streams may be in flight while other requests read or write, so that these do not queue"
            " behind pages. A page that has waited for a second is sent anyway.",
            ge=1,
            le=32768,
        ),
    ] = 1
    page_bytes_beside_reads: Annotated[
        int,
        setting(
            "ASGI_CASSANDRA_PAGE_BYTES_BESIDE_READS",
            "Target for the largest page of a stream, in bytes, while other requests read or write; never more than "
            "ASGI_CASSANDRA_MAX_PAGE_BYTES.",
            ge=1024,
            le=256 * 1024 * 1024,
        ),
    ] = 64 * 1024
    max_waiting: Annotated[
        int,
        setting(
            "ASGI_CASSANDRA_MAX_WAITING",
            "How many statements may wait until fewer are in flight; a further one is answered 503 at once.",
            ge=0,
            le=1_000_000,
        ),
    ] = 256
    max_wait: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_MAX_WAIT",
            "Seconds a statement may wait until fewer are in flight; then its request is answered 503.",
            ge=0,
            le=300,
        ),
    ] = 1.0
    max_body_bytes: Annotated[
        int,
        setting(
            "ASGI_CASSANDRA_MAX_BODY_BYTES",
            "The largest request body, in bytes; a larger one is answered 413.",
            ge=1,
            le=_MAX_BYTES,
        ),
    ] = 1048576
    max_batch_bytes: Annotated[
        int,
        setting(
            "ASGI_CASSANDRA_MAX_BATCH_BYTES",
            "The largest logged batch, in estimated bytes; a larger one is answered 413. Keep it below the server's "
            "batch_size_fail_threshold, which is 50 KiB by default.",
            ge=1,
            le=_MAX_BYTES,
        ),
    ] = 46080
    max_json_depth: Annotated[
        int,
        setting(
            "ASGI_CASSANDRA_MAX_JSON_DEPTH",
            "How deep arrays and objects may be nested in a request body.",
            ge=1,
            le=200,  # well inside Python's recursion limit
        ),
    ] = 32
    max_url_bytes: Annotated[
        int,
        setting(
            "ASGI_CASSANDRA_MAX_URL_BYTES",
            "The longest path with its query, in bytes as sent; a longer one is answered 414.",
            ge=256,
            le=1_048_576,
        ),
    ] = 8192
    max_header_bytes: Annotated[
        int,
        setting(
            "ASGI_CASSANDRA_MAX_HEADER_BYTES",
            "The largest total size of a request's header fields, in bytes; larger ones are answered 431.",
            ge=1024,
            le=1_048_576,
        ),
    ] = 16384
    header_timeout: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_HEADER_TIMEOUT",
            "Seconds within which the head of a request must arrive; a slower one is answered 408. Applies to `serve` "
            "and `demo` only; other servers have their own limit.",
            gt=0,
            le=3600,
        ),
    ] = 10.0
    body_timeout: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_BODY_TIMEOUT",
            "Seconds a client may pause within a request body; then it is answered 408. The deadline of the request "
            "limits the whole body.",
            gt=0,
            le=3600,
        ),
    ] = 30.0
    keep_alive: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_KEEP_ALIVE",
            "Seconds a connection may be idle between two requests; then it is closed. Must be longer than a load "
            "balancer in front keeps its connections. Applies to `serve` and `demo` only; other servers have their own"
            " limit.",
            gt=0,
            le=3600,
        ),
    ] = 75.0  # AWS load balancers and nginx keep idle connections for 60 s, and must be the first to close
    page_keys: Annotated[
        tuple[Secret, ...],
        setting(
            "ASGI_CASSANDRA_PAGE_KEYS",
            "The keys that encrypt page tokens, separated by commas. The first one encrypts new tokens, all of them "
            "are accepted. Not set: each process generates its own at start (`serve`: one for all its workers), so a "
            "token is valid neither in another process nor after a restart, and the first token logs a warning.",
            allowed="keys of at least 32 characters, separated by commas",
            min_length=32,
        ),
    ] = ()
    page_token_lifetime: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_PAGE_TOKEN_LIFETIME",
            "Seconds for which a page token is valid. 0: it never expires.",
            ge=0,
            le=31_536_000,
        ),
    ] = 0.0
    admin_token: Annotated[
        Secret | None,
        setting(
            "ASGI_CASSANDRA_ADMIN_TOKEN",
            "The bearer token of POST /shutdown. Not set: that endpoint answers 404.",
            allowed="at least 16 visible ASCII characters",
            pattern="[!-~]{16,}",
        ),
    ] = None
    api_keys: Annotated[
        tuple[Secret, ...],
        setting(
            "ASGI_CASSANDRA_API_KEYS",
            "The keys that clients send as `Authorization: Bearer` or `X-API-Key`. Not set: everyone may do "
            "everything.",
            allowed="name:scopes:secret, separated by commas. A scope is read, write or operate, for one resource with "
            "its name (read.users); + joins several. A secret has at least 32 visible ASCII characters except comma "
            "and colon, and belongs to one key",
            pattern=_API_KEY,
        ),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...],
        setting(
            "ASGI_CASSANDRA_CORS_ORIGINS",
            "The origins whose pages may read responses in a browser. Not set: none, and OPTIONS is answered 405.",
            allowed="origins such as https://app.example.org, without a path, separated by commas; or * alone",
            pattern=r"\*|[a-z][a-z0-9+.-]*://[a-z0-9._-]+(:[0-9]{1,5})?|[a-z][a-z0-9+.-]*://\[[0-9a-f:.]+\](:[0-9]{1,5})?",
        ),
    ] = ()
    trusted_hosts: Annotated[
        tuple[str, ...],
        setting(
            "ASGI_CASSANDRA_TRUSTED_HOSTS",
            "The names that a Host header may contain; any other is answered 400. Not set: any name.",
            allowed="names without a port, separated by commas; *.example.org matches every name below it",
            pattern=r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]",
        ),
    ] = ()
    security_headers: Annotated[
        bool,
        setting(
            "ASGI_CASSANDRA_SECURITY_HEADERS",
            "Whether every response has the headers X-Content-Type-Options, X-Frame-Options and Referrer-Policy.",
        ),
    ] = True
    hsts_seconds: Annotated[
        int,
        setting(
            "ASGI_CASSANDRA_HSTS_SECONDS",
            "The max-age of Strict-Transport-Security, for a service that is reached by HTTPS only. 0 sends no such "
            "header.",
            ge=0,
            le=63_072_000,
        ),
    ] = 0
    shutdown_grace: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_SHUTDOWN_GRACE",
            "Seconds that running requests and streams may still take at shutdown; then they are aborted.",
            ge=0,
            le=3600,
        ),
    ] = 30.0
    drain_delay: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_DRAIN_DELAY",
            "Seconds at shutdown during which the service is not ready but still accepts requests, so that load "
            "balancers notice first. The grace period follows.",
            ge=0,
            le=300,
        ),
    ] = 0.0
    diagnostics: Annotated[
        bool | None,
        setting(
            "ASGI_CASSANDRA_DIAGNOSTICS",
            "Whether to serve the endpoints that demonstrate behaviour. Not set: yes in the built-in application, no "
            "in one made by create_app.",
        ),
    ] = None
    docs: Annotated[
        bool,
        setting(
            "ASGI_CASSANDRA_DOCS",
            "Whether to serve the OpenAPI document at /openapi.json and its page at /docs.",
        ),
    ] = True
    console: Annotated[
        bool,
        setting(
            "ASGI_CASSANDRA_CONSOLE",
            "Whether to serve the console at /console/. It is made from the OpenAPI document, so it needs "
            "ASGI_CASSANDRA_DOCS too.",
        ),
    ] = True
    log_level: Annotated[LogLevel, setting("ASGI_CASSANDRA_LOG_LEVEL", "The least severe level that is logged.")] = (
        "info"
    )
    log_format: Annotated[
        LogFormat,
        setting(
            "ASGI_CASSANDRA_LOG_FORMAT",
            "How `serve` and `demo` write the log: lines for people, or one JSON object per line.",
        ),
    ] = "console"
    slow_statement: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_SLOW_STATEMENT",
            "Seconds after which a statement is logged as slow, with its text but never its values. 0 turns this off.",
            ge=0,
            le=3600,
        ),
    ] = 1.0
    server_timing: Annotated[
        bool,
        setting(
            "ASGI_CASSANDRA_SERVER_TIMING",
            "Whether responses have a Server-Timing header with the time spent waiting and at Cassandra.",
        ),
    ] = False
    otel: Annotated[
        bool,
        setting(
            "ASGI_CASSANDRA_OTEL",
            "Whether to record OpenTelemetry spans of requests and statements. Needs the extra otel.",
        ),
    ] = False
    write_timestamp_margin: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_WRITE_TIMESTAMP_MARGIN",
            "How many seconds in the past the write timestamp of a created row lies. Must be more than the clocks of "
            "the service and the nodes ever differ; otherwise a change right after the creation can be lost.",
            ge=1,
            le=3600,
        ),
    ] = 60.0
    speculative_delay: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_SPECULATIVE_DELAY",
            "Seconds after which an idempotent statement without a response is sent to another node as well. 0 turns "
            "this off.",
            ge=0,
            le=60,
        ),
    ] = 0.5
    max_prepared: Annotated[
        int, setting("ASGI_CASSANDRA_MAX_PREPARED", "How many prepared statements to keep.", ge=1, le=100_000)
    ] = 512
    health_timeout: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_HEALTH_TIMEOUT",
            "Seconds within which Cassandra must answer the health check of /health and /readyz.",
            gt=0,
            le=60,
        ),
    ] = 1.0
    health_ttl: Annotated[
        float,
        setting(
            "ASGI_CASSANDRA_HEALTH_TTL", "Seconds for which the result of that health check is reused.", ge=0, le=60
        ),
    ] = 0.5

    def __post_init__(self) -> None:
        fields = setting_fields()
        problems = violations(fields, {field.name: getattr(self, field.name) for field in fields})
        if problems:
            raise SettingsError(in_order(fields, problems))

    @property
    def keyspace(self) -> str:
        """The keyspace in effect: ASTRA_DB_KEYSPACE if it and a bundle are set, otherwise CASSANDRA_KEYSPACE."""
        if self.astra_db_secure_bundle_path and self.astra_db_keyspace:
            return self.astra_db_keyspace
        return self.cassandra_keyspace

    @property
    def address(self) -> str:
        """The Cassandra in effect, for messages: `10.0.0.1:9042, 10.0.0.2:9042`, or the bundle of an Astra database."""
        if self.astra_db_secure_bundle_path is not None:
            return f"the database of {self.astra_db_secure_bundle_path.name}"
        points = ((point.host, point.port or self.cassandra_port) for point in self.cassandra_hosts)
        return ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in points)

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str] | None = None,
        env_file: Path | None = Path(".env"),
        overrides: Mapping[str, str] | None = None,
    ) -> Self:
        """Return the settings from `overrides` (options by variable name), then `environ`, then `env_file`.

        `environ` defaults to the environment of the process, `env_file` to `.env` in the working directory. A file
        that does not exist counts as empty; `None` reads no file. Values of the file are literal: `$NAME` is not
        replaced. A variable that is empty after merging counts as not set, so an empty one in the environment hides
        the one in the file. Variables that Kubernetes and Docker set for services with a name like ours
        (`asgi_app.settings.service_links`) are ignored.

        Raises `SettingsError` with everything that is wrong.
        """
        fields = setting_fields()
        texts, sources, file_problems = _given(environ, env_file, overrides)
        values, unparsed = parse_values(fields, texts, sources)
        unknown = {problem.name for problem in unparsed}  # the rules see something else instead
        broken_rules = violations(fields, {field.name: _instead(field, unknown) for field in fields} | values)
        problems = [
            *file_problems,
            *unknown_variables(fields, texts),
            *unparsed,
            *contradictions(texts),
            *(problem for problem in broken_rules if problem.name not in unknown),
        ]
        if problems:
            raise SettingsError(in_order(fields, dict.fromkeys(problems)))
        return cls(**values)


def default_note(keyspace: str) -> str:
    """Return, for a message about a keyspace that is not there, that it is the default; empty if it is not."""
    return "the default while CASSANDRA_KEYSPACE is not set" if keyspace == DEFAULT_KEYSPACE else ""


def given_variables(
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = Path(".env"),
    overrides: Mapping[str, str] | None = None,
) -> Set[str]:
    """Return the names of the variables that are set, where `Settings.load` with the same arguments would read them."""
    texts, _, _ = _given(environ, env_file, overrides)
    return texts.keys()


def _given(
    environ: Mapping[str, str] | None, env_file: Path | None, overrides: Mapping[str, str] | None
) -> tuple[dict[str, str], dict[str, Source], list[Problem]]:
    """Return the text of each variable that is set and its source, and the problems of the file."""
    from_file, file_problems = read_env_file(env_file) if env_file else ({}, [])
    from_environment = without_service_links(os.environ if environ is None else environ, ("CASSANDRA_", OWN_PREFIX))
    texts, sources = merge_sources({"file": from_file, "environment": from_environment, "option": overrides or {}})
    return texts, sources, file_problems


def _instead(field: SettingField, unknown: Set[str]) -> Any:
    """Return the value that rules see of a setting without one. A switch whose text is `unknown` is set, if wrongly."""
    return False if field.type is bool and field.env in unknown else field.default


def setting_fields() -> tuple[SettingField, ...]:
    """Return every setting, in the order of the documentation."""
    return declared_fields(Settings)


def settings_table() -> str:
    """Return the table in docs/settings.md."""
    return markdown_table(setting_fields())
