"""Variables that Kubernetes and Docker set for services with a name like ours are ignored; typing errors are not."""

import logging
from pathlib import Path

import pytest

from asgi_app.settings import Settings, SettingsError


def kubernetes(service: str, address: str, *ports: tuple[str, int, str]) -> dict[str, str]:
    """Return the variables that Kubernetes sets for a service; ports are (name, number, protocol)."""
    prefix = service.upper().replace("-", "_")
    host = f"[{address}]" if ":" in address else address
    _, first, protocol = ports[0]
    found = {
        f"{prefix}_SERVICE_HOST": address,
        f"{prefix}_SERVICE_PORT": str(first),
        f"{prefix}_PORT": f"{protocol}://{host}:{first}",
    }
    for name, number, protocol in ports:
        if name:
            found[f"{prefix}_SERVICE_PORT_{name.upper().replace('-', '_')}"] = str(number)
        exposed = f"{prefix}_PORT_{number}_{protocol.upper()}"
        found[exposed] = f"{protocol}://{host}:{number}"
        found[f"{exposed}_PROTO"] = protocol
        found[f"{exposed}_PORT"] = str(number)
        found[f"{exposed}_ADDR"] = address
    return found


@pytest.mark.parametrize(
    "links",
    [
        kubernetes("cassandra", "10.96.1.5", ("", 9042, "tcp")),
        kubernetes("cassandra", "fd00:10:96::a", ("cql", 9042, "tcp"), ("jmx", 7199, "tcp")),
        kubernetes("asgi-cassandra", "10.96.1.6", ("http", 8000, "tcp")),
        kubernetes("asgi-cassandra", "10.96.1.6", ("http", 8000, "tcp"), ("http-3", 8000, "udp"), ("x", 5, "sctp")),
        kubernetes("asgi-cassandra-metrics", "10.96.1.7", ("", 9000, "tcp")),
        kubernetes("asgi-cassandra-max-streams", "10.96.1.8", ("", 9000, "tcp")),
        {"ASGI_CASSANDRA_PORT": "tcp://172.17.0.5:8000", "ASGI_CASSANDRA_NAME": "/web/asgi_cassandra"}
        | {"ASGI_CASSANDRA_ENV_LANG": "C.UTF-8", "CASSANDRA_PORT": "tcp://172.17.0.6:7000"},
    ],
    ids=["cassandra", "IPv6", "our own", "many ports", "metrics", "like a setting", "Docker"],
)
def test_links_are_ignored_and_logged_in_one_line(links: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert Settings.load({**links, "CASSANDRA_LOCAL_DC": "dc1"}, None) == Settings(cassandra_local_dc="dc1")
    (message,) = caplog.messages
    assert message.startswith("ignored, because Kubernetes or Docker sets them for a service: ")
    relevant = {name for name in links if name.startswith(("ASGI_CASSANDRA_", "CASSANDRA_"))}
    # Docker's `_ENV_` variables of an alias `CASSANDRA` are no settings, so they need not be ignored
    assert set(message.partition(": ")[2].split(", ")) == relevant


def test_link_does_not_hide_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CASSANDRA_PORT=9043\n")
    links = kubernetes("cassandra", "10.96.1.5", ("", 9042, "tcp"))
    assert Settings.load(links, tmp_path / ".env").cassandra_port == 9043


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CASSANDRA_PORT", "banana"),
        ("CASSANDRA_PORT", "http://10.96.1.5:9042"),
        ("CASSANDRA_PORT", "tcp://cassandra:9042"),
        ("CASSANDRA_PORT", "tcp://10.96.1.5"),
        ("CASSANDRA_PORT", "tcp://10.96.1.500:9042"),
        ("CASSANDRA_PORT", "tcp://10.96.1.5:99999"),
        ("CASSANDRA_PORT", "tcp://10.96.1.5:9042/"),
        ("CASSANDRA_PORT", "tcp://[10.96.1.5]x:9042"),
        ("CASSANDRA_HOSTS", "tcp://10.96.1.5:9042"),
        ("CASSANDRA_KEYSPACE", "tcp://10.96.1.5:9042"),
        ("ASGI_CASSANDRA_PROT", "tcp://10.96.1.5:9042"),
        ("ASGI_CASSANDRA_PROT", "9042"),
        ("ASGI_CASSANDRA_PORT", "9042"),
        ("ASGI_CASSANDRA_SERVICE_HOST", "cassandra"),
        ("ASGI_CASSANDRA_SERVICE_PORT", "http"),
        ("ASGI_CASSANDRA_SERVICE_PROT", "8000"),
        ("ASGI_CASSANDRA_PORT_8000_TCP", "tcp://10.96.1.5:8001"),
        ("ASGI_CASSANDRA_PORT_8000_TCP", "udp://10.96.1.5:8000"),
        ("ASGI_CASSANDRA_PORT_8000_TCP_PROTO", "udp"),
        ("ASGI_CASSANDRA_PORT_8000_TCP_PORT", "8001"),
        ("ASGI_CASSANDRA_PORT_8000_TCP_ADDR", "cassandra"),
        ("ASGI_CASSANDRA_NAME", "/web/asgi_cassandra"),
        ("ASGI_CASSANDRA_ENV_LANG", "C.UTF-8"),
        ("asgi_cassandra_service_host", "10.96.1.5"),
    ],
)
def test_variable_that_is_no_link_is_an_error(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({name: text}, None)
    assert [problem.name for problem in caught.value.problems] == [name]


def test_link_in_the_file_or_an_option_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CASSANDRA_PORT=tcp://10.96.1.5:9042\n")
    with pytest.raises(SettingsError, match="CASSANDRA_PORT"):
        Settings.load({}, tmp_path / ".env")
    with pytest.raises(SettingsError, match="CASSANDRA_PORT"):
        Settings.load({}, None, {"CASSANDRA_PORT": "tcp://10.96.1.5:9042"})
