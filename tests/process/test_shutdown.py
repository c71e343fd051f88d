"""Shutdown: signals, POST /shutdown, several workers, other servers, and forked processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from cassandra.cluster import Session
from helpers.cassandra import count
from helpers.ports import free_port
from helpers.waiting import wait_until

from asgi_app.cli.sample_data import seed
from process.running import COMMAND, PYTHON, Program, alive, run, started

Settings = Mapping[str, str]

TOKEN = "an-admin-token-of-the-tests"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
ADA = json.dumps({"name": "Ada", "email": "ada@example.org", "age": 36}).encode()
ROWS = 2000
SLOW_STREAM = "/users/stream?fetch_size=1"
"""A stream of thousands of pages, which takes seconds."""


@pytest.fixture(scope="module")
def guarded(cql: Session, settings: Settings) -> Settings:
    """Return settings with a keyspace that has users, and an admin token."""
    seed(cql, settings["CASSANDRA_KEYSPACE"], ROWS, lambda _: None)
    return {**settings, "ASGI_CASSANDRA_ADMIN_TOKEN": TOKEN}


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


class HalfPost:
    """A request that runs until the test sends the rest of its body."""

    def __init__(self, url: str) -> None:
        self._socket = socket.create_connection((httpx.URL(url).host, httpx.URL(url).port or 80), timeout=15)
        head = (
            f"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(ADA)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + ADA[:5])

    def finish(self) -> bytes:
        """Send the rest of the body, and return what arrives until the server closes."""
        self._socket.sendall(ADA[5:])
        return self.answer()

    def answer(self) -> bytes:
        """Return what arrives until the server closes or resets the connection."""
        received = b""
        with self._socket:
            try:
                while data := self._socket.recv(65536):
                    received += data
            except ConnectionResetError:
                pass
        return received


class Service:
    """A running service, and ways to start requests in it."""

    def __init__(self, program: Program, url: str, threads: ThreadPoolExecutor) -> None:
        self.program = program
        self.url = url
        self._threads = threads

    def stream(self, target: str = SLOW_STREAM) -> Future[int | None]:
        """Read a stream in a thread, after its head arrived. The result is its row count, None if it is incomplete."""
        response = _open(self.url + target)
        return self._threads.submit(_rows_of, *response)

    def half_a_post(self) -> HalfPost:
        return HalfPost(self.url)

    def shut_down(self) -> httpx.Response:
        return httpx.post(f"{self.url}/shutdown", headers=AUTHORIZED)

    def is_refusing(self) -> bool:
        return _status(f"{self.url}/users?limit=1") == 503

    def ends(self, seconds: float = 15) -> int:
        return self.program.process.wait(seconds)


def _open(url: str) -> tuple[httpx.Client, httpx.Response]:
    client = httpx.Client(timeout=30)
    return client, client.send(client.build_request("GET", url), stream=True)


def _rows_of(client: httpx.Client, response: httpx.Response) -> int | None:
    try:
        return len(json.loads(b"".join(response.iter_raw())))
    except httpx.TransportError:
        return None
    finally:
        client.close()


def _status(url: str) -> int | None:
    try:
        return httpx.get(url, timeout=10).status_code
    except httpx.TransportError:
        return None


SERVE = [COMMAND, "serve", "--port", "{port}"]


@contextmanager
def service(
    command: list[str], folder: Path, settings: Settings, threads: ThreadPoolExecutor, **variables: str
) -> Iterator[Service]:
    port = free_port()
    arguments = [part.format(port=port) for part in command]
    with started(arguments, folder, {**settings, **variables}) as program:
        url = f"http://127.0.0.1:{port}"
        program.answers(f"{url}/readyz")
        yield Service(program, url, threads)


def test_signal_drains_running_requests_and_refuses_new_ones(
    tmp_path: Path, guarded: Settings, threads: ThreadPoolExecutor
) -> None:
    with service(SERVE, tmp_path, guarded, threads) as it:
        post, rows = it.half_a_post(), it.stream("/users/stream?fetch_size=5")
        it.program.process.send_signal(signal.SIGTERM)
        wait_until("it refuses", it.is_refusing)
        ready = httpx.get(f"{it.url}/readyz")
        assert (ready.status_code, ready.json()["draining"]) == (503, True)
        refused = httpx.get(f"{it.url}/users")
        assert (refused.json()["code"], refused.headers["connection"]) == ("shutting_down", "close")
        assert int(refused.headers["retry-after"]) >= 1
        assert _status(f"{it.url}/livez") == 200
        assert _status(f"{it.url}/metrics") == 200
        assert it.shut_down().status_code == 202
        assert it.program.process.poll() is None
        assert post.finish().startswith(b"HTTP/1.1 201 ")
        assert rows.result(30) is not None
        assert rows.result() >= ROWS
        assert it.ends() == 0
        assert "Traceback" not in it.program.errors


def test_requests_after_the_grace_period_are_aborted(
    tmp_path: Path, guarded: Settings, threads: ThreadPoolExecutor
) -> None:
    with service(SERVE, tmp_path, guarded, threads, ASGI_CASSANDRA_SHUTDOWN_GRACE="0.3") as it:
        post, rows = it.half_a_post(), it.stream()
        assert it.shut_down().json()["requests_under_way"] == 2
        assert it.ends() == 0
        assert rows.result(10) is None
        answer = post.answer()
        assert b'"shutting_down"' in answer
        assert b'"outcome":"unknown"' in answer
        assert "Traceback" not in it.program.errors
        assert "ResourceWarning" not in it.program.errors


def test_second_signal_ends_at_once(tmp_path: Path, guarded: Settings, threads: ThreadPoolExecutor) -> None:
    with service(SERVE, tmp_path, guarded, threads) as it:
        post, rows = it.half_a_post(), it.stream()
        it.shut_down()  # does not count as a signal
        it.program.process.send_signal(signal.SIGTERM)
        wait_until("it refuses", it.is_refusing)
        assert _status(f"{it.url}/livez") == 200
        it.program.process.send_signal(signal.SIGTERM)
        assert it.ends(5) == 1
        assert rows.result(10) is None
        assert b"HTTP/1.1 2" not in post.answer()
        assert "Traceback" not in it.program.errors
        assert it.program.errors.endswith(
            "Error: Ended at once by a second signal: running requests and streams were aborted.\n"
        )


def test_workers_are_replaced_and_end_together(tmp_path: Path, guarded: Settings, threads: ThreadPoolExecutor) -> None:
    command = [*SERVE, "--workers", "2"]
    with service(command, tmp_path, guarded, threads) as it:
        workers = wait_until("two workers serve", lambda: _serving_workers(it))
        workers[0].kill()
        wait_until("another took its place", lambda: len(_serving_workers(it, but=workers[0])) == 2)
        assert _status(f"{it.url}/users") == 200
        assert "died with exit code -9" in it.program.errors

        family = it.program.family()
        post, rows = it.half_a_post(), it.stream("/users/stream?fetch_size=5")
        for _ in range(4):  # any worker may receive each of them
            assert it.shut_down().status_code == 202
        wait_until("all refuse", lambda: all(it.is_refusing() for _ in range(10)))
        assert post.finish().startswith(b"HTTP/1.1 201 ")
        assert (rows.result(30) or 0) >= ROWS
        assert it.ends() == 0
        wait_until("every process has ended", lambda: not alive(family))
        assert "Traceback" not in it.program.errors


def _serving_workers(it: Service, but: psutil.Process | None = None) -> list[psutil.Process]:
    """Return both workers once both have logged that they are connected, otherwise an empty list.

    The log also contains the line of the dead worker `but`.
    """
    workers = [worker for worker in _workers(it) if worker != but]
    connected = it.program.errors.count("connected to Cassandra")
    return workers if len(workers) == 2 and connected >= 2 + (but is not None) else []


def _workers(it: Service) -> list[psutil.Process]:
    children = psutil.Process(it.program.process.pid).children()
    return [child for child in alive(children) if _command(child).count("spawn_main")]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""


@pytest.mark.long
def test_second_signal_ends_workers_at_once(tmp_path: Path, guarded: Settings, threads: ThreadPoolExecutor) -> None:
    with service([*SERVE, "--workers", "2"], tmp_path, guarded, threads) as it:
        wait_until("two workers serve", lambda: _serving_workers(it))
        family, rows = it.program.family(), it.stream()
        it.shut_down()  # does not count as a signal
        wait_until("all refuse", lambda: all(it.is_refusing() for _ in range(10)))
        it.program.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)  # the parent polls ten times a second; nothing shows that it has seen the first one
        assert _status(f"{it.url}/livez") == 200
        it.program.process.send_signal(signal.SIGTERM)
        assert it.ends(5) == 1
        assert rows.result(10) is None
        wait_until("every process has ended", lambda: not alive(family))


@pytest.mark.long
def test_workers_end_after_their_parent_was_killed(
    tmp_path: Path, guarded: Settings, threads: ThreadPoolExecutor
) -> None:
    with service([*SERVE, "--workers", "2"], tmp_path, guarded, threads) as it:
        workers = wait_until("two workers serve", lambda: _serving_workers(it))
        it.program.process.kill()
        wait_until("the workers have ended", lambda: not alive(workers), 15)


@pytest.mark.long
def test_workers_that_keep_dying_end_the_service(
    tmp_path: Path, guarded: Settings, threads: ThreadPoolExecutor
) -> None:
    with service([*SERVE, "--workers", "2"], tmp_path, guarded, threads) as it:

        def kill_all() -> bool:
            if it.program.process.poll() is None:
                for worker in _workers(it):
                    worker.kill()
            return it.program.process.poll() is not None

        wait_until("it gives up", kill_all)
        assert it.ends() == 1
        assert "Workers died one after another" in it.program.errors


@pytest.mark.long
def test_workers_that_cannot_start_end_the_service(tmp_path: Path, guarded: Settings) -> None:
    (tmp_path / "sitecustomize.py").write_text(_WRONG_IN_WORKERS)
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    command = [COMMAND, "serve", "--port", str(free_port()), "--workers", "2"]
    ended = run(command, tmp_path, {**guarded, "PYTHONPATH": path})
    assert ended.returncode == 1
    assert ended.stderr.endswith("Error: The application did not start; the log above says why.\n")
    assert ended.stderr.count("CASSANDRA_PORT: is not a whole number") <= 4


_WRONG_IN_WORKERS = """
import os, sys

if "--multiprocessing-fork" in sys.orig_argv:
    os.environ["CASSANDRA_PORT"] = "many"
"""


OTHERS = {
    "uvicorn": ([PYTHON, "-m", "uvicorn", "--port", "{port}", "asgi_app.app:app"], -signal.SIGTERM),
    "hypercorn": ([PYTHON, "-m", "hypercorn", "--bind", "127.0.0.1:{port}", "asgi_app.app:app"], 0),
    "hypercorn trio": (
        [PYTHON, "-m", "hypercorn", "-k", "trio", "--bind", "127.0.0.1:{port}", "asgi_app.app:app"],
        0,
    ),
    "uvicorn workers": ([PYTHON, "-m", "uvicorn", "--workers", "2", "--port", "{port}", "asgi_app.app:app"], 0),
}


@pytest.mark.parametrize(
    "name",
    [
        "uvicorn",
        "hypercorn",
        pytest.param("hypercorn trio", marks=pytest.mark.long),
        pytest.param("uvicorn workers", marks=pytest.mark.long),
    ],
)
def test_shutdown_under_other_servers(
    name: str, tmp_path: Path, guarded: Settings, threads: ThreadPoolExecutor
) -> None:
    command, code = OTHERS[name]
    with service(command, tmp_path, guarded, threads) as it:
        family = it.program.family()
        post, rows = it.half_a_post(), it.stream("/users/stream?fetch_size=5")
        assert it.shut_down().status_code == 202
        assert post.finish().startswith(b"HTTP/1.1 201 ")
        assert (rows.result(30) or 0) >= ROWS
        assert it.ends() == code
        wait_until("every process has ended", lambda: not alive(family))
        assert "Traceback" not in it.program.errors


@pytest.mark.long
@pytest.mark.parametrize(("name", "code"), [("uvicorn", -signal.SIGTERM), ("hypercorn", 0)])
def test_signal_under_other_servers_lets_a_stream_end(
    name: str, code: int, tmp_path: Path, guarded: Settings, threads: ThreadPoolExecutor
) -> None:
    with service(OTHERS[name][0], tmp_path, guarded, threads) as it:
        rows = it.stream("/users/stream?fetch_size=10")
        it.program.process.send_signal(signal.SIGTERM)
        assert (rows.result(30) or 0) >= ROWS
        assert it.ends() == code


def test_forked_process_refuses_its_parents_session(tmp_path: Path, guarded: Settings, cql: Session) -> None:
    before = count(cql, f"{guarded['CASSANDRA_KEYSPACE']}.users")
    ended = run([PYTHON, "-W", "ignore", "-c", _OPEN_AND_FORK], tmp_path, guarded)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["200", "500 opened_before_fork", "500", "200", "0 200"]
    assert "fork first, then start the application's lifespan in each process" in ended.stderr
    assert count(cql, f"{guarded['CASSANDRA_KEYSPACE']}.users") == before


_OPEN_AND_FORK = """
import asyncio, os, sys
import httpx
from asgi_app.app import create_app

app = create_app()


async def get(path):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        return await client.get(path)


async def in_child():
    found = await asyncio.wait_for(get("/users/stream?fetch_size=7"), 5)
    print(found.status_code, found.json()["code"], flush=True)
    print((await asyncio.wait_for(get("/readyz"), 5)).status_code, flush=True)
    async with app.router.lifespan_context(app):  # the child's own
        print((await get("/users?limit=1")).status_code, flush=True)


async def main():
    async with app.router.lifespan_context(app):
        print((await get("/users?limit=1")).status_code, flush=True)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                asyncio.run(in_child())
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), (await get("/users?limit=1")).status_code, flush=True)


asyncio.run(main())
"""
