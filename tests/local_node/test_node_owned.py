"""Owned nodes: they serve CQL, and end with their program however it ends."""

import os
import signal
import sys
from pathlib import Path

import pytest
from cassandra.cluster import Cluster, Session
from conftest import FirstBoot
from node_helpers import alive, parent_program, wait_gone

from asgi_app.local_node import DataFolderInUseError, NodeSpec, Progress, Stage, local_node
from asgi_app.local_node.cql import cql_answers

JAR_COUNT = 100
FOLDERS_OF_OTHER_TOOLS = (".m2", ".jgo", ".cache/jgo", ".cache/cjdk", ".cache/JNA")


def test_first_boot_downloads_no_java(first_boot: FirstBoot) -> None:
    names = [path.name for path in first_boot.data.rglob("*") if path.is_file()]
    jars = [name for name in names if name.endswith(".jar")]

    assert len(jars) == JAR_COUNT
    assert not {"java", "libjvm.so", "libjvm.dylib", "release"} & set(names)
    assert list(first_boot.working_folder.iterdir()) == []
    wait_gone(first_boot.report["java"], first_boot.report["supervisor"], seconds=0)


def test_writes_nothing_outside_its_folders(first_boot: FirstBoot) -> None:
    homes = (Path("~").expanduser(), Path("/"))  # an empty HOME means the root

    assert first_boot.cache.is_dir()
    assert not [home / name for home in homes for name in FOLDERS_OF_OTHER_TOOLS if _newer(home / name, first_boot)]


def _newer(path: Path, first_boot: FirstBoot) -> bool:
    return path.exists() and path.stat().st_mtime >= first_boot.working_folder.stat().st_mtime


def test_serve_kill_restart_pause_and_stop(jar_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo", None)  # jars in the cache need no resolver
    events: list[Progress] = []
    spec = NodeSpec(data=tmp_path / "data", cache=jar_cache)

    with local_node(spec, progress=events.append) as node:
        with Cluster([node.host], port=node.port) as cluster:
            _write_indexed_row(cluster.connect())
        with pytest.raises(DataFolderInUseError), local_node(spec):
            pass
        crashed = node.pid
        node.kill()
        assert not alive(crashed)
        assert not node.is_running()

        port = node.port
        node.restart()
        assert node.port == port
        assert node.pid != crashed
        with Cluster([node.host], port=node.port) as cluster:
            assert _find_by_index(cluster.connect()) == [1]

        node.pause()
        assert not cql_answers(node.host, node.port)
        node.resume()
        assert cql_answers(node.host, node.port)
        node.pause()  # a paused node can be stopped too
    wait_gone(node.pid, node.supervisor_pid, seconds=0)
    node.stop()

    stages = [event.stage for event in events]
    assert list(dict.fromkeys(stages)) == [Stage.JAVA, Stage.JARS, Stage.BOOT, Stage.READY]
    assert node.log_file.is_relative_to(tmp_path)


@pytest.mark.long
def test_throwaway_node_keeps_its_tables_if_it_is_stopped_in_order(jar_cache: Path, tmp_path: Path) -> None:
    with local_node(NodeSpec(data=tmp_path, cache=jar_cache, throwaway=True)) as node:
        with Cluster([node.host], port=node.port) as cluster:
            _write_indexed_row(cluster.connect())
        node.restart()
        with Cluster([node.host], port=node.port) as cluster:
            assert _find_by_index(cluster.connect()) == [1]


def _write_indexed_row(session: Session) -> None:
    session.execute("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
    session.execute("CREATE TABLE k.t (id int PRIMARY KEY, name text)")
    session.execute("CREATE INDEX ON k.t (name) USING 'sai'")
    session.execute("INSERT INTO k.t (id, name) VALUES (1, 'one')")


def _find_by_index(session: Session) -> list[int]:
    return [row.id for row in session.execute("SELECT id FROM k.t WHERE name = 'one'")]


@pytest.mark.long
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_node_ends_with_a_killed_program(jar_cache: Path, tmp_path: Path, end: signal.Signals) -> None:
    with parent_program(tmp_path, jar_cache) as (program, pids):
        program.send_signal(end)
        assert program.wait() == -end
        wait_gone(pids["java"], pids["supervisor"])


@pytest.mark.long
def test_node_ends_with_a_killed_supervisor(jar_cache: Path, tmp_path: Path) -> None:
    with parent_program(tmp_path, jar_cache) as (_, pids):
        os.kill(pids["supervisor"], signal.SIGKILL)
        wait_gone(pids["java"])


@pytest.mark.long
def test_stop_waits_for_java_after_the_supervisor_was_killed(jar_cache: Path, tmp_path: Path) -> None:
    with local_node(NodeSpec(data=tmp_path, cache=jar_cache, throwaway=True)) as node:
        os.kill(node.supervisor_pid, signal.SIGKILL)
        node.stop()
        wait_gone(node.pid, seconds=1)  # its new parent reaps it


def test_node_survives_ctrl_c_until_its_program_ends(jar_cache: Path, tmp_path: Path) -> None:
    with parent_program(tmp_path, jar_cache) as (program, pids):
        os.killpg(program.pid, signal.SIGINT)
        assert program.stdout is not None
        assert program.stdout.readline() == '{"still_answers": true}\n'
        assert program.wait() == 3
        wait_gone(pids["java"], pids["supervisor"], seconds=0)


@pytest.mark.long
def test_data_folder_with_special_characters(jar_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use characters that logback expands in names, and a locale in which Java cannot decode them."""
    monkeypatch.setenv("LC_ALL", "C")
    data = tmp_path / "a ${user.home} %i \u00fc\u20ac:'\"$#?;\nb"
    with local_node(NodeSpec(data=data, cache=jar_cache, boot_timeout=240, throwaway=True)) as node:
        assert "Node configuration" in node.log_file.read_text()
        assert node.log_file.is_relative_to(data)
    assert list(tmp_path.iterdir()) == [data]
