"""The driver's `Cluster` for given settings: a real one that never connects to a node."""

import datetime
import http.server
import ipaddress
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from zipfile import ZipFile

import pytest
from cassandra import ConsistencyLevel, WriteType
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.connection import ConnectionShutdown, SniEndPoint
from cassandra.policies import (
    ConstantReconnectionPolicy,
    DCAwareRoundRobinPolicy,
    NoSpeculativeExecutionPolicy,
    RetryPolicy,
    TokenAwarePolicy,
)
from cassandra.query import BatchStatement, SimpleStatement, dict_factory, tuple_factory
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import asgi_app
from asgi_app.driver.cluster import ClusterConfigError, ClusterUnreachableError, IdempotentRetryPolicy, build_cluster
from asgi_app.settings import ContactPoint, Secret, Settings
from asgi_app.telemetry.metrics import RETRY_REASONS

Build = Callable[..., Cluster]

LOOPBACK = (ContactPoint("127.0.0.1"),)


@pytest.fixture
def build() -> Iterator[Build]:
    """A function that calls `build_cluster` with settings as keywords. Each cluster is shut down after the test."""
    clusters: list[Cluster] = []

    def build(*, row_factory: Any = tuple_factory, **settings: Any) -> Cluster:
        if "astra_db_secure_bundle_path" not in settings:
            settings.setdefault("cassandra_hosts", LOOPBACK)
        clusters.append(build_cluster(Settings(**settings), row_factory))
        return clusters[-1]

    yield build
    for cluster in clusters:
        cluster.shutdown()


def profile_of(cluster: Cluster) -> ExecutionProfile:
    return cluster.profile_manager.profiles[EXEC_PROFILE_DEFAULT]


# Where to connect


def test_contact_points(build: Build) -> None:
    hosts = (ContactPoint("127.0.0.1"), ContactPoint("127.0.0.2", 9043), ContactPoint("::1", 9044))
    cluster = build(cassandra_hosts=hosts, cassandra_port=9999)
    addresses = [(point.address, point.port) for point in cluster.endpoints_resolved]
    assert addresses == [("127.0.0.1", 9999), ("127.0.0.2", 9043), ("::1", 9044)]
    assert cluster.port == cluster.endpoint_factory.port == 9999


def test_default_connection_class_reads_64_kib(build: Build) -> None:
    connection = build().connection_class
    assert issubclass(connection, Cluster.connection_class)
    assert (connection.in_buffer_size, Cluster.connection_class.in_buffer_size) == (65536, 4096)


def test_nothing_is_connected(build: Build) -> None:
    cluster = build()
    assert not cluster.sessions
    assert not cluster.metadata.all_hosts()
    assert cluster.control_connection._connection is None


def test_unresolvable_names() -> None:
    with pytest.raises(ClusterUnreachableError, match=r"^CASSANDRA_HOSTS: "):
        build_cluster(Settings(cassandra_hosts=(ContactPoint("no-such-host.invalid"),)))


# How


def test_connection_settings(build: Build) -> None:
    cluster = build(cassandra_connection_timeout=3.0, cassandra_idle_heartbeat_interval=20.0)
    assert cluster.connect_timeout == cluster.control_connection_timeout == 3.0
    assert cluster.control_connection._timeout == 3.0
    assert cluster.idle_heartbeat_interval == 20.0
    assert cluster.compression is False
    assert cluster.prepare_on_all_hosts is False
    assert cluster.reprepare_on_up is True
    assert cluster.metrics_enabled is False
    assert cluster.monitor_reporting_enabled is False
    assert cluster.allow_beta_protocol_version is False
    assert cluster.executor._max_workers == 2
    assert (cluster.application_name, cluster.application_version) == ("asgi-cassandra", asgi_app.__version__)


@pytest.mark.parametrize(("interval", "timeout"), [(30.0, 5.0), (2.0, 2.0), (0.0, 5.0)])
def test_heartbeat_timeout_is_at_most_its_interval(build: Build, interval: float, timeout: float) -> None:
    assert build(cassandra_idle_heartbeat_interval=interval).idle_heartbeat_timeout == timeout


@pytest.mark.parametrize("version", [3, 4, 5])
def test_protocol_version(build: Build, version: int) -> None:
    cluster = build(protocol_version=version)
    assert cluster.protocol_version == version
    assert cluster._protocol_version_explicit


def test_reconnection_every_second_without_end(build: Build) -> None:
    policy = build().reconnection_policy
    assert isinstance(policy, ConstantReconnectionPolicy)
    assert policy.max_attempts is None
    schedule = policy.new_schedule()
    assert [next(schedule) for _ in range(100)] == [1.0] * 100


# The execution profile


def test_profile(build: Build) -> None:
    profile = profile_of(
        build(
            cassandra_consistency="QUORUM", serial_consistency="SERIAL", request_timeout=7.0, cassandra_local_dc="dc2"
        )
    )
    assert profile.consistency_level == ConsistencyLevel.QUORUM
    assert profile.serial_consistency_level == ConsistencyLevel.SERIAL
    assert profile.request_timeout == 7.0
    assert isinstance(profile.retry_policy, IdempotentRetryPolicy)
    assert isinstance(profile.load_balancing_policy, TokenAwarePolicy)
    child = profile.load_balancing_policy._child_policy
    assert isinstance(child, DCAwareRoundRobinPolicy)
    assert (child.local_dc, child.used_hosts_per_remote_dc) == ("dc2", 0)


def test_profile_defaults(build: Build) -> None:
    profile = profile_of(build())
    assert profile.consistency_level == ConsistencyLevel.LOCAL_QUORUM
    assert profile.serial_consistency_level == ConsistencyLevel.LOCAL_SERIAL
    assert profile.load_balancing_policy._child_policy.local_dc == ""
    assert profile.row_factory is tuple_factory


@pytest.mark.parametrize("level", ["ONE", "TWO", "THREE", "QUORUM", "ALL", "LOCAL_ONE", "LOCAL_QUORUM", "EACH_QUORUM"])
def test_consistency_levels(build: Build, level: str) -> None:
    profile = profile_of(build(cassandra_consistency=level))
    assert ConsistencyLevel.value_to_name[profile.consistency_level] == level


def test_row_factory(build: Build) -> None:
    assert profile_of(build(row_factory=dict_factory)).row_factory is dict_factory


def test_speculation_asks_one_more_node(build: Build) -> None:
    policy = profile_of(build(speculative_delay=0.25)).speculative_execution_policy
    plan = policy.new_plan(None, SimpleStatement("SELECT"))
    assert [plan.next_execution(None), plan.next_execution(None)] == [0.25, -1]


class Told:
    """Records the events that the driver's policies report."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def statement_retried(self, reason: str) -> None:
        self.events.append(reason)

    def statement_speculated(self) -> None:
        self.events.append("speculated")


def test_speculation_is_observed() -> None:
    told = Told()
    cluster = build_cluster(Settings(speculative_delay=0.25), observer=told)
    try:
        plan = profile_of(cluster).speculative_execution_policy.new_plan(None, SimpleStatement("SELECT"))
    finally:
        cluster.shutdown()
    plan.next_execution(None)  # asked by the driver before it sends the statement
    assert told.events == []
    plan.next_execution(None)  # and when it has sent it to another node
    assert told.events == ["speculated"]


@pytest.mark.parametrize("idempotent", [True, False])
def test_only_retries_are_observed(idempotent: bool) -> None:
    told = Told()
    policy = IdempotentRetryPolicy(told)
    query = SimpleStatement("x", is_idempotent=idempotent)
    common = {"consistency": QUORUM, "required_responses": 2}
    for retry_num in (0, 2):  # the second is one too many
        policy.on_read_timeout(query, received_responses=2, data_retrieved=False, retry_num=retry_num, **common)
        policy.on_write_timeout(
            query, write_type=WriteType.BATCH_LOG, received_responses=1, retry_num=retry_num, **common
        )
        policy.on_unavailable(query, QUORUM, required_replicas=2, alive_replicas=1, retry_num=retry_num)
        policy.on_request_error(query, QUORUM, error=ConnectionShutdown("gone"), retry_num=retry_num)
    assert told.events == (list(RETRY_REASONS) if idempotent else [])


def test_speculation_off(build: Build) -> None:
    policy = profile_of(build(speculative_delay=0.0)).speculative_execution_policy
    assert isinstance(policy, NoSpeculativeExecutionPolicy)


# Logging in


def test_no_login_without_a_username(build: Build) -> None:
    assert build().auth_provider is None


def test_password_login(build: Build) -> None:
    provider = build(cassandra_username="app", cassandra_password=Secret("pw")).auth_provider
    assert isinstance(provider, PlainTextAuthProvider)
    assert (provider.username, provider.password) == ("app", "pw")


# Retries

RETHROW = (RetryPolicy.RETHROW, None)
NEXT_HOST = (RetryPolicy.RETRY_NEXT_HOST, None)
QUORUM = ConsistencyLevel.LOCAL_QUORUM
SAME_HOST = (RetryPolicy.RETRY, QUORUM)


def statements(*, idempotent: bool) -> list[Any]:
    batch = BatchStatement()
    batch.is_idempotent = idempotent
    return [SimpleStatement("x", is_idempotent=idempotent), batch]


IDEMPOTENT = statements(idempotent=True)
OTHERS = [*statements(idempotent=False), None]


def read_timeout(query: Any, received: int = 2, retrieved: bool = False, retry_num: int = 0) -> tuple[int, int | None]:
    return IdempotentRetryPolicy().on_read_timeout(
        query,
        consistency=QUORUM,
        required_responses=2,
        received_responses=received,
        data_retrieved=retrieved,
        retry_num=retry_num,
    )


def write_timeout(query: Any, write_type: int, retry_num: int = 0) -> tuple[int, int | None]:
    return IdempotentRetryPolicy().on_write_timeout(
        query,
        consistency=QUORUM,
        write_type=write_type,
        required_responses=2,
        received_responses=1,
        retry_num=retry_num,
    )


def unavailable(query: Any, retry_num: int = 0) -> tuple[int, int | None]:
    return IdempotentRetryPolicy().on_unavailable(
        query, consistency=QUORUM, required_replicas=2, alive_replicas=1, retry_num=retry_num
    )


def request_error(query: Any, retry_num: int = 0) -> tuple[int, int | None]:
    error = ConnectionShutdown("gone")
    return IdempotentRetryPolicy().on_request_error(query, QUORUM, error=error, retry_num=retry_num)


@pytest.mark.parametrize("query", IDEMPOTENT)
@pytest.mark.parametrize(
    ("received", "retrieved", "retry_num", "decision"),
    [
        (2, False, 0, SAME_HOST),
        (3, False, 0, SAME_HOST),
        (2, True, 0, RETHROW),
        (1, False, 0, RETHROW),
        (1, True, 0, RETHROW),
        (2, False, 1, RETHROW),
    ],
)
def test_read_timeout(query: Any, received: int, retrieved: bool, retry_num: int, decision: object) -> None:
    assert read_timeout(query, received, retrieved, retry_num) == decision


@pytest.mark.parametrize("query", IDEMPOTENT)
@pytest.mark.parametrize("name", WriteType.name_to_value)
def test_write_timeout(query: Any, name: str) -> None:
    write_type = WriteType.name_to_value[name]
    repeatable = name in ("SIMPLE", "BATCH", "UNLOGGED_BATCH", "BATCH_LOG")
    assert write_timeout(query, write_type) == (NEXT_HOST if repeatable else RETHROW)
    assert write_timeout(query, write_type, retry_num=1) == RETHROW


@pytest.mark.parametrize("query", IDEMPOTENT)
def test_unavailable_goes_to_the_next_host_once(query: Any) -> None:
    assert [unavailable(query, retry_num) for retry_num in range(3)] == [NEXT_HOST, RETHROW, RETHROW]


@pytest.mark.parametrize("query", IDEMPOTENT)
def test_request_error_goes_to_the_next_host_twice(query: Any) -> None:
    decisions = [request_error(query, retry_num) for retry_num in range(4)]
    assert decisions == [NEXT_HOST, NEXT_HOST, RETHROW, RETHROW]


@pytest.mark.parametrize("query", OTHERS)
def test_no_retry_without_idempotence(query: Any) -> None:
    decisions = {read_timeout(query), unavailable(query), request_error(query)}
    decisions |= {write_timeout(query, write_type) for write_type in WriteType.value_to_name}
    assert decisions == {RETHROW}


# TLS


class Identity(NamedTuple):
    certificate: Path
    key: Path


SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
"""Python 3.13 trusts no authority without this extension."""


class Authority:
    """An authority that signs certificates, as PEM files under `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("Test Authority")
        basic = x509.BasicConstraints(ca=True, path_length=None)
        certificate = self._signed(self._name, self._key, basic, SIGNS_CERTIFICATES)
        self.certificate = self._written("ca.pem", certificate.public_bytes(serialization.Encoding.PEM))

    def identity(self, name: str, pass_phrase: bytes | None = None) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = self._signed(_named(name), key, alternative).public_bytes(serialization.Encoding.PEM)
        return Identity(
            self._written(f"{name}.crt", certificate), self._written(f"{name}.key", _key_file(key, pass_phrase))
        )

    def _signed(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> Any:
        now = datetime.datetime.now(datetime.UTC)
        authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = x509.CertificateBuilder(self._name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=not isinstance(extension, x509.SubjectAlternativeName))
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return builder.add_extension(authority_id, critical=False).sign(self._key, hashes.SHA256())

    def _written(self, name: str, content: bytes) -> Path:
        (self._folder / name).write_bytes(content)
        return self._folder / name


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _key_file(key: ec.EllipticCurvePrivateKey, pass_phrase: bytes | None) -> bytes:
    protection: Any = serialization.NoEncryption()
    if pass_phrase:
        protection = serialization.BestAvailableEncryption(pass_phrase)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def server_context(authority: Authority) -> ssl.SSLContext:
    """Return the TLS context of a node that demands a certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.identity("server"))
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str | None) -> None:
    """Do a TLS handshake in memory. Raises the error of either side."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        sides = [side for side in sides if not _is_done(side)]
    assert not sides


def _is_done(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def test_no_tls_unless_asked_for(build: Build) -> None:
    cluster = build()
    assert cluster.ssl_context is None
    assert cluster.ssl_options is None


def test_tls_trusts_the_system_by_default(build: Build) -> None:
    context = build(cassandra_ssl_enabled=True).ssl_context
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


def tls_settings(authority: Authority, identity: Identity | None = None) -> dict[str, Any]:
    settings: dict[str, Any] = {"cassandra_ssl_enabled": True, "cassandra_ssl_ca_certs": authority.certificate}
    if identity:
        settings |= {"cassandra_ssl_certfile": identity.certificate, "cassandra_ssl_keyfile": identity.key}
    return settings


def test_tls_with_a_client_certificate(build: Build, authority: Authority) -> None:
    context = build(**tls_settings(authority, authority.identity("client"))).ssl_context
    shake_hands(context, server_context(authority), "127.0.0.1")


def test_tls_checks_the_address_of_the_node(build: Build, authority: Authority) -> None:
    context = build(**tls_settings(authority, authority.identity("client"))).ssl_context
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        shake_hands(context, server_context(authority), "127.0.0.2")


def test_tls_without_the_check_of_the_address(build: Build, authority: Authority) -> None:
    settings = tls_settings(authority, authority.identity("client"))
    context = build(**settings, ssl_check_hostname=False).ssl_context
    assert context.verify_mode == ssl.CERT_REQUIRED
    shake_hands(context, server_context(authority), None)


def test_tls_refuses_another_authority(build: Build, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    context = build(**tls_settings(other)).ssl_context
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, server_context(authority), "127.0.0.1")


def test_ca_file_without_a_certificate(build: Build, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    with pytest.raises(ClusterConfigError, match=r"^CASSANDRA_SSL_CA_CERTS: "):
        build(cassandra_ssl_enabled=True, cassandra_ssl_ca_certs=path)


def test_deleted_ca_file(authority: Authority) -> None:
    settings = Settings(cassandra_hosts=LOOPBACK, **tls_settings(authority))
    authority.certificate.unlink()
    with pytest.raises(ClusterConfigError, match=r"^CASSANDRA_SSL_CA_CERTS: this file cannot be read \(No such file"):
        build_cluster(settings)


def test_deleted_client_key(authority: Authority) -> None:
    identity = authority.identity("client")
    settings = Settings(cassandra_hosts=LOOPBACK, **tls_settings(authority, identity))
    identity.key.unlink()
    with pytest.raises(ClusterConfigError, match=r"one of these two files cannot be read \(No such file"):
        build_cluster(settings)


def test_a_key_of_another_certificate(build: Build, authority: Authority) -> None:
    mixed = Identity(authority.identity("one").certificate, authority.identity("two").key)
    with pytest.raises(ClusterConfigError, match="CASSANDRA_SSL_CERTFILE and CASSANDRA_SSL_KEYFILE: "):
        build(**tls_settings(authority, mixed))


def test_key_with_a_pass_phrase_does_not_prompt(build: Build, authority: Authority) -> None:
    identity = authority.identity("client", pass_phrase=b"open sesame")
    with pytest.raises(ClusterConfigError, match="without a pass phrase"):
        build(**tls_settings(authority, identity))


# Astra

# The driver makes a context of the deprecated kind from the bundle.
uses_driver_tls = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS:DeprecationWarning")


class Metadata(http.server.BaseHTTPRequestHandler):
    """A server that answers as Astra's metadata service does."""

    answer: ClassVar[dict[str, Any]] = {
        "contact_info": {
            "local_dc": "eu-1",
            "sni_proxy_address": "127.0.0.1:29042",
            "contact_points": ["5f6f2b1e-0000-4000-8000-000000000001", "5f6f2b1e-0000-4000-8000-000000000002"],
        }
    }

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.answer).encode())

    def log_message(self, *_args: Any) -> None:
        """Log nothing."""


@pytest.fixture
def metadata_port(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.HTTPServer(("127.0.0.1", 0), Metadata) as server:
        server.socket = server_context(authority).wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def bundle(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "bundle.zip"
    with ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def bundle_files(authority: Authority, port: int) -> dict[str, bytes]:
    identity = authority.identity("client")
    return {
        "ca.crt": authority.certificate.read_bytes(),
        "cert": identity.certificate.read_bytes(),
        "key": identity.key.read_bytes(),
        "config.json": json.dumps({"host": "127.0.0.1", "port": port, "username": "in", "password": "bundle"}).encode(),
    }


@uses_driver_tls
def test_astra_with_a_token(build: Build, authority: Authority, metadata_port: int, tmp_path: Path) -> None:
    path = bundle(tmp_path, bundle_files(authority, metadata_port))
    before = sorted(tmp_path.iterdir())
    cluster = build(astra_db_secure_bundle_path=path, astra_db_token=Secret("AstraCS:x"))
    assert sorted(tmp_path.iterdir()) == before
    assert all(isinstance(point, SniEndPoint) for point in cluster.endpoints_resolved)
    assert len(cluster.endpoints_resolved) == 2
    assert (cluster.auth_provider.username, cluster.auth_provider.password) == ("token", "AstraCS:x")
    assert cluster.ssl_context.verify_mode == ssl.CERT_REQUIRED
    assert cluster.protocol_version == 4
    assert isinstance(profile_of(cluster).retry_policy, IdempotentRetryPolicy)


@uses_driver_tls
def test_astra_with_client_id(build: Build, authority: Authority, metadata_port: int, tmp_path: Path) -> None:
    path = bundle(tmp_path, bundle_files(authority, metadata_port))
    provider = build(
        astra_db_secure_bundle_path=path, astra_db_client_id="id", astra_db_client_secret=Secret("secret")
    ).auth_provider
    assert (provider.username, provider.password) == ("id", "secret")


@uses_driver_tls
def test_astra_that_does_not_answer(build: Build, authority: Authority, tmp_path: Path) -> None:
    path = bundle(tmp_path, bundle_files(authority, port=1))
    with pytest.raises(ClusterUnreachableError, match=r"^ASTRA_DB_SECURE_BUNDLE_PATH: "):
        build(astra_db_secure_bundle_path=path, astra_db_token=Secret("t"))


def refused_bundle(build: Build, path: Path) -> str:
    with pytest.raises(ClusterConfigError, match=r"^ASTRA_DB_SECURE_BUNDLE_PATH: ") as caught:
        build(astra_db_secure_bundle_path=path, astra_db_token=Secret("t"))
    return str(caught.value)


def test_a_bundle_that_is_no_zip_file(build: Build, tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_text("<html>link expired</html>")
    assert "zip" in refused_bundle(build, path)


@pytest.mark.parametrize("missing", ["ca.crt", "cert", "key", "config.json"])
def test_a_bundle_that_lacks_a_file(build: Build, authority: Authority, tmp_path: Path, missing: str) -> None:
    files = bundle_files(authority, 1)
    del files[missing]
    assert "lacks" in refused_bundle(build, bundle(tmp_path, files))


@pytest.mark.parametrize("config", [b"{", b"[]", b"{}", b'{"host": null, "port": 1}'])
def test_a_bundle_with_a_bad_config(build: Build, authority: Authority, tmp_path: Path, config: bytes) -> None:
    files = bundle_files(authority, 1) | {"config.json": config}
    assert "config.json" in refused_bundle(build, bundle(tmp_path, files))


@uses_driver_tls
def test_a_bundle_with_a_bad_certificate(build: Build, authority: Authority, tmp_path: Path) -> None:
    files = bundle_files(authority, 1) | {"cert": b"no certificate"}
    assert "certificates" in refused_bundle(build, bundle(tmp_path, files))


# A driver without an event loop

WITHOUT_EVENT_LOOP = """
import sys
sys.modules["cassandra.io.libevwrapper"] = sys.modules["asyncore"] = None
from asgi_app.driver.cluster import ClusterConfigError, build_cluster
from asgi_app.settings import Settings
try:
    build_cluster(Settings())
except ClusterConfigError as error:
    sys.stdout.write(str(error))
"""


def test_driver_without_an_event_loop() -> None:
    """In a separate process, in which neither of the driver's event loops can be imported."""
    run = subprocess.run([sys.executable, "-c", WITHOUT_EVENT_LOOP], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("The Cassandra driver has no usable event loop on Python 3.")
    assert "libev" in run.stdout
