"""`scripts/demo` as a reader of the README runs it: one command, whose printed examples work.

In a fresh copy it installs everything, which needs the package registries; in this checkout that was done before.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path

import httpx
import pytest
from helpers.pages import program
from helpers.ports import free_port
from helpers.waiting import wait_until

from asgi_app.cli.demo import demo as demo_command
from process.running import Program, alive, started

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
COPIED = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "asgi_app", "scripts")
NOT_THIS_CASSANDRA = {"CASSANDRA_HOSTS": "192.0.2.1", "CASSANDRA_USERNAME": "nobody"}
"""Incomplete settings of another cluster, which the demo must ignore."""

INSTALL_AND_BOOT_SECONDS = 400
BOOT_SECONDS = 120


@pytest.fixture(params=[pytest.param(False, id="checkout"), pytest.param(True, id="copy", marks=pytest.mark.network)])
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return this checkout, or a copy of it without the files of earlier runs."""
    if not request.param:
        return ROOT
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def printed_examples(output: str) -> list[tuple[str, str]]:
    """Return each command that the demo printed, with the response it promised."""
    return re.findall(r"^  (curl .*)\n  # (.*)$", output, re.MULTILINE)


def own_table(output: str, folder: Path) -> str:
    """Return the commands that the demo printed in `folder` for a table of the reader's own, but for the last one."""
    commands = re.findall(r"^  (export .*|\S*asgi-cassandra schema .*)$", output, re.MULTILINE)
    assert len(commands) == 2
    return "\n".join(commands).replace(".venv/", f"{folder}/.venv/")


def answer_of(command: str, folder: Path) -> str:
    """Run a command of a shell in `folder`, and return what it prints."""
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True).stdout


def matches(promised: str, answer: str) -> bool:
    """Return whether a response is as promised; `…` stands for any text."""
    return re.fullmatch(".*".join(map(re.escape, promised.split("…"))), answer.removesuffix("\n")) is not None


def wait_until_serving(program: Program, seconds: float) -> str:
    """Return the URL that the demo prints once it serves."""

    def look() -> re.Match[str] | None:
        assert program.process.poll() is None, f"it ended with {program.process.returncode}: {program.errors}"
        return re.search(r"^serving on (\S+)$(?s:.*) serve --tables ", program.output, re.MULTILINE)

    return wait_until("the demo serves", look, seconds)[1]


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_of_the_script_installs_nothing(option: str, tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(ROOT / "scripts" / "demo", tmp_path / "scripts")  # there is no scripts/install beside it
    ended = subprocess.run([script, "--port", "0", option], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("Usage: scripts/demo")
    described = re.findall(r"^  (?:-\w, )?(--[a-z]+)", ended.stdout, re.MULTILINE)
    assert described == [*(parameter.opts[0] for parameter in demo_command.params), "--help"]


@pytest.mark.timeout(2 * INSTALL_AND_BOOT_SECONDS)
def test_demo_twice(checkout: Path, tmp_path: Path) -> None:
    command = ["scripts/demo", "--port", str(free_port()), "--data", str(tmp_path / "node")]
    with started(command, checkout, NOT_THIS_CASSANDRA) as demo:
        url = wait_until_serving(demo, INSTALL_AND_BOOT_SECONDS)
        assert httpx.get(f"{url}/readyz").status_code == 200
        assert f"in a browser: {url}/console/ shows tables and rows, {url}/docs has a form" in demo.output
        assert httpx.get(f"{url}/docs").status_code == 200
        assert "\nThe table sightings has 1,000 of 100,000 rows so far. " in demo.output
        *printed, (shutdown, accepted) = printed_examples(demo.output)
        for example, promised in printed:
            answer = answer_of(example, tmp_path)
            assert matches(promised, answer), f"{example}\n{answer}"
        assert len(printed) >= 8
        assert (tmp_path / "sightings.csv").stat().st_size > 100_000
        (tmp_path / "shop.py").write_text(program(README.read_text()))
        created = answer_of(own_table(demo.output, checkout), tmp_path)
        assert re.search(r"^Keyspace shop at 127\.0\.0\.1:\d+ has the tables events\.$", created, re.MULTILINE), created
        kept = httpx.post(f"{url}/users", json={"name": "Kept", "email": "kept@example.org", "age": 1}).json()
        family = demo.family()
        assert any("java" in process.name() for process in family)
        assert matches(accepted, answer_of(shutdown, tmp_path))
        assert demo.process.wait(60) == 0
        assert not alive(family)
        assert re.search(r"(all|of) 100,000 sightings", demo.errors)
        assert "Traceback" not in demo.errors

    with started(command, checkout, NOT_THIS_CASSANDRA) as demo:
        url = wait_until_serving(demo, BOOT_SECONDS)
        assert httpx.get(f"{url}/users/{kept['id']}").json() == kept
        family = demo.family()
        (java,) = (process for process in family if "java" in process.name())
        java.kill()
        wait_until("it logs that its Cassandra has ended", lambda: "the demo's Cassandra has ended" in demo.errors)
        demo.process.send_signal(signal.SIGKILL)
        wait_until("no process of it is left", lambda: not alive(family), 60)
