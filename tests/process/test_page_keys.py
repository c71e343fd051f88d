"""Page tokens without ASGI_CASSANDRA_PAGE_KEYS: the first token logs a warning, under every server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from helpers.ports import free_port
from helpers.waiting import wait_until

from process.running import COMMAND, PYTHON, started

APPLICATION = "asgi_app.app:app"
WARNING = "ASGI_CASSANDRA_PAGE_KEYS is not set"
ATTEMPTS = 60
AT_ONCE = 12

GUNICORN = [PYTHON, "-m", "gunicorn", "--workers", "2", "--worker-class", "uvicorn_worker.UvicornWorker"]
FORKING = {"forked": GUNICORN, "forked after the import": [*GUNICORN, "--preload"]}
ONE_PROCESS = {
    "uvicorn": [PYTHON, "-m", "uvicorn", "--port"],
    "hypercorn": [PYTHON, "-m", "hypercorn", "--bind"],
}


@pytest.fixture
def url() -> str:
    return f"http://127.0.0.1:{free_port()}"


def address(url: str) -> str:
    return url.removeprefix("http://")


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=url, limits=httpx.Limits(max_keepalive_connections=0), timeout=30
    ) as client:  # each request has its own connection, so that both workers receive some
        yield client


def fill(client: httpx.Client) -> None:
    wait_until("every worker is ready", lambda: all(client.get("/readyz").is_success for _ in range(20)))
    users = [{"name": "Ada Lovelace", "email": f"ada{number}@example.org", "age": 36} for number in range(3)]
    assert client.post("/users/batch", json={"users": users}).is_success


def token(client: httpx.Client) -> str:
    answer = client.get("/users/stream/pages", params={"fetch_size": 1})
    found: str = answer.raise_for_status().json()["page_state"]
    return found


def statuses(client: httpx.Client, **query: str | int) -> set[int]:
    """Return the statuses of many concurrent page requests, so that every worker receives some."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        pages = threads.map(lambda _: client.get("/users/stream/pages", params=query), range(ATTEMPTS))
        return {page.status_code for page in pages}


@pytest.mark.parametrize("form", FORKING)
def test_forked_workers_warn_with_their_first_token(
    form: str, tmp_path: Path, settings: Mapping[str, str], client: httpx.Client, url: str
) -> None:
    with started([*FORKING[form], "--bind", address(url), APPLICATION], tmp_path, settings) as program:
        program.answers(f"{url}/readyz")
        fill(client)
        assert WARNING not in program.errors
        issued = token(client)
        wait_until("one worker has warned", lambda: program.errors.count(WARNING) == 1)
        wait_until("the other worker refuses it", lambda: statuses(client, page_state=issued) == {200, 422})

        def both_have_warned() -> bool:
            assert statuses(client, fetch_size=1) == {200}
            return program.errors.count(WARNING) == 2

        wait_until("both workers have issued a token and warned", both_have_warned)
        assert statuses(client, fetch_size=1) == {200}
        assert program.errors.count(WARNING) == 2


@pytest.mark.parametrize("form", FORKING)
def test_forked_workers_with_keys_accept_all_tokens(
    form: str, tmp_path: Path, settings: Mapping[str, str], client: httpx.Client, url: str
) -> None:
    keys = {"ASGI_CASSANDRA_PAGE_KEYS": "k" * 32}
    with started([*FORKING[form], "--bind", address(url), APPLICATION], tmp_path, {**settings, **keys}) as program:
        program.answers(f"{url}/readyz")
        fill(client)
        assert statuses(client, page_state=token(client)) == {200}
        assert WARNING not in program.errors


@pytest.mark.parametrize("server", ONE_PROCESS)
def test_single_process_warns_once(
    server: str, tmp_path: Path, settings: Mapping[str, str], client: httpx.Client, url: str
) -> None:
    where = address(url) if server == "hypercorn" else address(url).partition(":")[2]
    with started([*ONE_PROCESS[server], where, APPLICATION], tmp_path, settings) as program:
        program.answers(f"{url}/readyz")
        fill(client)
        assert WARNING not in program.errors
        for _ in range(3):
            assert token(client)
        assert program.errors.count(WARNING) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_serve_shares_a_page_key_without_warning(
    workers: int, tmp_path: Path, settings: Mapping[str, str], client: httpx.Client, url: str
) -> None:
    port = address(url).partition(":")[2]
    with started([COMMAND, "serve", "--port", port, "--workers", str(workers)], tmp_path, settings) as program:
        program.answers(f"{url}/readyz")
        fill(client)
        assert statuses(client, page_state=token(client)) == {200}
        assert WARNING not in program.errors
        assert program.end() == 0
