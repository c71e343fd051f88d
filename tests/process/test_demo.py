"""`scripts/demo` as a reader of the README meets it: one command, and what it prints is true.

From a fresh copy it installs everything, for which it needs the registries; in this checkout that was done.
"""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import httpx
import pytest
from helpers.ports import free_port
from helpers.waiting import wait_until

from process.running import Program, alive, started

ROOT = Path(__file__).parents[2]
COPIED = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "asgi_app", "scripts")
NOT_THIS_CASSANDRA = {"CASSANDRA_HOSTS": "192.0.2.1", "CASSANDRA_USERNAME": "nobody"}
"""Settings of another day, half of them: the demo is about its own node."""

INSTALL_AND_BOOT_SECONDS = 400
BOOT_SECONDS = 120


@pytest.fixture(params=[pytest.param(False, id="checkout"), pytest.param(True, id="copy", marks=pytest.mark.network)])
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """This checkout, or a copy of it without what earlier runs left in it."""
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
    """Each command that the demo printed, with the answer it promised."""
    return re.findall(r"^  (curl .*)\n  # (.*)$", output, re.MULTILINE)


def answer_of(command: str) -> str:
    """What a curl command prints, by curl itself where there is one."""
    if shutil.which("curl"):
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    _, *words = shlex.split(command)
    (url,) = (word for word in words if word.startswith("http"))
    words.remove(url)
    options = dict(zip(words[::2], words[1::2], strict=True))
    name, _, value = options.get("-H", "Accept: */*").partition(": ")
    body = options.get("-d")
    method = options.get("-X", "POST" if body else "GET")
    return httpx.request(method, url, headers={name: value}, content=body).text


def matches(promised: str, answer: str) -> bool:
    """Whether an answer is as printed; `…` stands for any text."""
    return re.fullmatch(".*".join(map(re.escape, promised.split("…"))), answer) is not None


def wait_until_serving(program: Program, seconds: float) -> str:
    """The URL that the demo prints when it serves."""

    def look() -> re.Match[str] | None:
        assert program.process.poll() is None, f"it ended with {program.process.returncode}: {program.errors}"
        return re.search(r"^serving on (\S+) (?s:.*)^Ctrl-C", program.output, re.MULTILINE)

    return wait_until("the demo serves", look, seconds)[1]


@pytest.mark.timeout(2 * INSTALL_AND_BOOT_SECONDS)
def test_the_demo_and_again(checkout: Path, tmp_path: Path) -> None:
    command = ["scripts/demo", "--port", str(free_port()), "--data", str(tmp_path / "node")]
    with started(command, checkout, NOT_THIS_CASSANDRA) as demo:
        url = wait_until_serving(demo, INSTALL_AND_BOOT_SECONDS)
        assert httpx.get(f"{url}/readyz").status_code == 200
        *printed, (shutdown, accepted) = printed_examples(demo.output)
        for example, promised in printed:
            assert matches(promised, answer_of(example)), f"{example}\n{answer_of(example)}"
        assert len(printed) >= 6
        kept = httpx.post(f"{url}/users", json={"name": "Kept", "email": "kept@example.org", "age": 1}).json()
        family = demo.family()
        assert any("java" in process.name() for process in family)
        assert matches(accepted, answer_of(shutdown))
        assert demo.process.wait(60) == 0
        assert not alive(family)
        assert "Traceback" not in demo.errors

    with started(command, checkout, NOT_THIS_CASSANDRA) as demo:
        url = wait_until_serving(demo, BOOT_SECONDS)
        assert httpx.get(f"{url}/users/{kept['id']}").json() == kept
        family = demo.family()
        (java,) = (process for process in family if "java" in process.name())
        java.kill()
        wait_until("it tells that its Cassandra is gone", lambda: "the demo's Cassandra has ended" in demo.errors)
        demo.process.send_signal(signal.SIGKILL)
        wait_until("no process of it is left", lambda: not alive(family), 60)
