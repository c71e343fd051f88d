"""The command line without a node: options, error messages, exit codes and lazy imports."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cassandra import AuthenticationFailed, InvalidRequest, OperationTimedOut, Unauthorized, WriteTimeout
from cassandra.cluster import NoHostAvailable
from click.testing import CliRunner, Result

import asgi_app
from asgi_app.cli.commands import command_line
from asgi_app.cli.console import node_progress, pace, row_progress
from asgi_app.cli.examples import examples
from asgi_app.cli.failures import failure_of
from asgi_app.cli.serve import warn_if_unauthenticated
from asgi_app.cli.server import listen, log_config
from asgi_app.cli.sightings import LAST_AT, STATIONS, sample_sighting
from asgi_app.driver.cluster import ClusterConfigError, ClusterUnreachableError
from asgi_app.driver.connecting import explain
from asgi_app.local_node import LocalNodeError, MissingExtraError, Progress, Stage
from asgi_app.settings import Problem, SettingField, Settings, SettingsError, setting_fields

COMMAND = str(Path(sys.executable).with_name("asgi-cassandra"))


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ignore the developer's environment and .env."""
    for field in setting_fields():
        monkeypatch.delenv(field.env, raising=False)
    monkeypatch.chdir(tmp_path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(command_line, arguments, catch_exceptions=False)


def test_version() -> None:
    assert invoke("--version").output == f"asgi-cassandra, version {asgi_app.__version__}\n"


def test_every_command_has_help() -> None:
    listed = invoke("--help").output
    for name in ("demo", "node", "schema", "seed", "serve"):
        assert f"\n  {name} " in listed
        assert invoke(name, "--help").exit_code == 0


def test_serve_has_an_option_for_every_setting() -> None:
    text = " ".join(invoke("serve", "--help").output.split())
    for field in setting_fields():
        assert (f"--{field.name.replace('_', '-')} " in text) == (not field.secret)
        assert (f"[{field.env}" in text) == (not field.secret)


@pytest.mark.parametrize("prefix", ["db", "//db", "/a/../b", "/a b", "/%6", "/%2E%2e", "/d\u00f6b", "http://host/db"])
def test_bad_root_path_is_refused(prefix: str) -> None:
    refused = invoke("serve", "--root-path", prefix)
    assert refused.exit_code == 2
    assert "must be a path such as /db" in refused.output


@pytest.mark.parametrize("field", [field for field in setting_fields() if field.secret], ids=lambda field: field.env)
def test_option_for_a_secret_is_refused(field: SettingField) -> None:
    option = f"--{field.name.replace('_', '-')}"
    ended = invoke("serve", option, "hunter22")
    assert ended.exit_code == 2
    assert f"{option} is a secret" in ended.stderr
    assert "hunter22" not in ended.output


@pytest.mark.parametrize("command", ["serve", "schema", "seed"])
def test_all_wrong_settings_are_reported_at_once(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASSANDRA_CONSISTENCY", "most")
    monkeypatch.setenv("ASGI_CASSANDRA_LOG_LEVLE", "info")
    monkeypatch.setenv("CASSANDRA_PASSWORD", "hunter22")
    ended = invoke(command, "--cassandra-port", "0")
    assert ended.exit_code == 2
    assert ended.stderr.startswith("Error: These settings cannot be used:\n")
    for name in ("CASSANDRA_CONSISTENCY", "ASGI_CASSANDRA_LOG_LEVLE", "CASSANDRA_PORT", "CASSANDRA_USERNAME"):
        assert f"\n  {name}: " in ended.stderr
    assert "hunter22" not in ended.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "--workers", "2", "--reload"],
        ["serve", "--port", "70000"],
        ["schema", "--replication", "SimpleStrategy"],
        ["schema", "--replication", "{'class': 'X'}", "--replication-factor", "1"],
        ["seed", "--users", "-1"],
        ["nothing"],
    ],
)
def test_wrong_command_line_has_exit_code_2(arguments: list[str]) -> None:
    ended = invoke(*arguments)
    assert ended.exit_code == 2
    assert "Error: " in ended.stderr


def test_dry_run_prints_the_schema() -> None:
    printed = invoke("schema", "--dry-run", "--cassandra-keyspace", "Mine", "--replication-factor", "3").output
    assert printed.splitlines()[0] == (
        'CREATE KEYSPACE IF NOT EXISTS "Mine" WITH replication = '
        "{'class': 'NetworkTopologyStrategy', 'replication_factor': 3};"
    )
    without = invoke("schema", "--dry-run", "--cassandra-keyspace", "Mine", "--no-keyspace").output
    assert printed.splitlines()[1:] == without.splitlines()
    as_json = json.loads(
        invoke("schema", "--dry-run", "--json", "--cassandra-keyspace", "Mine", "--no-keyspace").output
    )
    assert [f"{statement};" for statement in as_json["statements"]] == "\n".join(without.splitlines()).splitlines()


@pytest.mark.parametrize(
    ("error", "code", "beginning"),
    [
        (SettingsError([Problem("A", "is wrong")]), 2, "These settings cannot be used:\n  A: is wrong"),
        (ClusterConfigError("The file."), 2, "The file."),
        (ClusterUnreachableError("The name."), 1, "The name."),
        (ImportError("The driver."), 1, "The driver."),
        (LocalNodeError("No Java."), 1, "No Java."),
        (MissingExtraError("It needs psutil."), 2, "It needs psutil."),
        (RuntimeError("oh"), 1, "Unexpected: RuntimeError: oh."),
    ],
)
def test_failure_of_each_error(error: Exception, code: int, beginning: str) -> None:
    failure = failure_of(error)
    assert failure.exit_code == code
    assert failure.message.startswith(beginning)


@pytest.mark.parametrize(
    ("error", "beginning"),
    [
        (NoHostAvailable("all", {"127.0.0.1:9042": OSError("refused")}), "No Cassandra node answers at 127.0.0.1:9"),
        (NoHostAvailable("none", {}), "No Cassandra node answers; check CASSANDRA_HOSTS"),
        (NoHostAvailable("all", {"a": AuthenticationFailed("no")}), "Cassandra refuses this user name and password"),
        (OperationTimedOut(), "Cassandra at a:1 did not answer in time"),
        (
            Unauthorized('Error from server: code=2100 [Unauthorized] message="You may not"'),
            "Cassandra at a:1 does not permit this to the configured role (You may not).",
        ),
        (InvalidRequest('message="unconfigured table x"'), "Cassandra at a:1 refuses this (unconfigured table x). If"),
        (InvalidRequest('message="Keyspace x does not exist"'), "Cassandra at a:1 refuses this (Keyspace x does not"),
        (InvalidRequest('message="Unable to find x"'), "Cassandra at a:1 refuses this (Unable to find x)."),
        (WriteTimeout("late", write_type=0), "Cassandra at a:1 could not do this ("),
    ],
)
def test_errors_of_the_driver_name_the_address(error: Exception, beginning: str) -> None:
    sentence = explain(error, "a:1")
    assert sentence is not None
    assert sentence.startswith(beginning)
    assert explain(RuntimeError("oh"), "a:1") is None


def test_port_in_use_is_reported() -> None:
    with listen("127.0.0.1", 0, 30) as listener:
        port = str(listener.getsockname()[1])
        ended = invoke("serve", "--port", port)
    assert (ended.exit_code, ended.stderr.count("\n")) == (1, 1)
    assert f"Cannot listen on port {port} of 127.0.0.1" in ended.stderr


@pytest.mark.parametrize("host", ["203.0.113.1", "no-such-host.invalid", "2001:db8::1"])
def test_address_of_another_machine_is_reported(host: str) -> None:
    ended = invoke("serve", "--host", host)
    assert (ended.exit_code, ended.stderr.count("\n")) == (1, 1)
    assert f"This machine has no address {host} to listen on" in ended.stderr
    assert "--host" in ended.stderr
    assert "--port" not in ended.stderr


def test_demo_checks_its_port_before_it_starts_a_node(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0, 30) as listener:
        ended = invoke("demo", "--port", str(listener.getsockname()[1]))
    assert ended.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_log_levels_of_other_libraries() -> None:
    loggers: dict[str, Any] = log_config("info", "console")["loggers"]
    assert {name: it["level"] for name, it in loggers.items()} == {
        "asgi_app": "INFO",
        "uvicorn": "WARNING",
        "cassandra": "ERROR",
    }
    assert log_config("debug", "console")["loggers"]["uvicorn"]["level"] == "DEBUG"


def test_progress_without_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with node_progress() as show:
        show(Progress(Stage.JARS, "downloading Cassandra", 0, 100))
        show(Progress(Stage.JARS, "downloaded a.jar", 1, 100))
        show(Progress(Stage.BOOT, "booting Cassandra", seconds=0.1))
    with row_progress(10) as rows:
        rows(10)
    assert capsys.readouterr().err == "downloading Cassandra (0 of 100)\nbooting Cassandra\n"


def test_quiet_shows_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with node_progress(quiet=True) as show:
        show(Progress(Stage.BOOT, "booting Cassandra", seconds=9))
    with row_progress(10, quiet=True) as rows:
        rows(5)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("done", "total", "seconds", "unit", "text"),
    [
        (0, 100, 3, "", "0 of 100"),
        (25, 100, 3, "", "25 of 100, 9 s left"),
        (1000, 100_000, 2, "rows", "1,000 of 100,000 rows, 500 rows/s, 3 min 18 s left"),
        (1, 10_000, 1, "rows", "1 of 10,000 rows, 1 rows/s, 2 h 46 min left"),
        (10, 10, 2, "rows", "10 of 10 rows, 5 rows/s"),
    ],
)
def test_pace(done: int, total: int, seconds: float, unit: str, text: str) -> None:
    assert pace(done, total, seconds, unit) == text


SHOWS_ROWS = """
from asgi_app.cli.console import row_progress
with row_progress(400) as show:
    show(100)
"""


@pytest.mark.parametrize("no_color", ["", "1"])
def test_progress_on_a_terminal(no_color: str) -> None:
    shown = on_terminal([sys.executable, "-c", SHOWS_ROWS], {"NO_COLOR": no_color})
    assert re.search(r"writing rows.*100 of 400 rows, [\d,]+ rows/s, 1 s left", shown)
    assert bool(re.search("\x1b\\[[39][0-9]m", shown)) == (not no_color)


def on_terminal(command: list[str], environment: Mapping[str, str]) -> str:
    """Run a command on a terminal of its own, and return what it shows there."""
    terminal, end = os.openpty()
    size = {"COLUMNS": "120", "LINES": "40", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=end, stderr=end, env={**os.environ, **size, **environment}) as process:
        os.close(end)
        shown = b""
        with suppress(OSError):  # Linux reports the end of a terminal as an error
            while chunk := os.read(terminal, 4096):
                shown += chunk
    os.close(terminal)
    assert process.returncode == 0
    return shown.decode()


def test_examples_without_rows() -> None:
    def number(users: int, sightings: int) -> int:
        return len(list(examples("http://x", "ks", users, sightings)))

    assert number(1, 1) > number(1, 0) > number(0, 0)


def test_sightings_are_distinct_and_deterministic() -> None:
    rows = [sample_sighting(index) for index in range(3000)]
    assert len({(row.station, row.at, row.id) for row in rows}) == 3000
    assert {row.station for row in rows} == set(STATIONS)
    assert rows == [sample_sighting(index) for index in range(3000)]
    assert max(row.at for row in rows) == rows[0].at == LAST_AT


def test_shells_complete_commands_and_options() -> None:
    for words, found in (("asgi-cassandra no", "node"), ("asgi-cassandra seed --qu", "--quiet")):
        asked = {"_ASGI_CASSANDRA_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        ended = subprocess.run([COMMAND], env={**os.environ, **asked}, capture_output=True, text=True, check=True)
        assert ended.stdout == f"plain,{found}\n"


def test_version_imports_no_heavy_modules() -> None:
    code = (
        "import sys\n"
        "from asgi_app.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'cassandra', 'uvicorn', 'starlette', 'rich', 'msgspec'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    printed = subprocess.run(
        [sys.executable, "-m", "asgi_app", "--version"], check=True, capture_output=True, text=True
    )
    assert printed.stdout == f"asgi-cassandra, version {asgi_app.__version__}\n"


@pytest.mark.parametrize(
    ("host", "keys", "warned"),
    [
        ("127.0.0.1", "", False),
        ("127.1.2.3", "", False),
        ("::1", "", False),
        ("localhost", "", False),
        ("0.0.0.0", "", True),
        ("::", "", True),
        ("10.0.0.1", "", True),
        ("myhost", "", True),
        ("0.0.0.0", f"ci:read:{'x' * 32}", False),
    ],
)
def test_serve_warns_if_reachable_without_authentication(
    host: str, keys: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings.load({"ASGI_CASSANDRA_API_KEYS": keys}, env_file=None)
    logger = logging.getLogger("asgi_app.cli")
    logger.addHandler(caplog.handler)  # another test's log configuration may keep records from the root
    try:
        warn_if_unauthenticated(host, settings)
    finally:
        logger.removeHandler(caplog.handler)
    assert ("ASGI_CASSANDRA_API_KEYS" in caplog.text) == warned
