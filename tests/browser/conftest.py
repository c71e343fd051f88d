"""Fixtures: Chromium, the service as a process with tables of every type, and tabs that show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from cassandra.cluster import Session
from contract.written import create_tables
from helpers.cassandra import own_keyspace
from helpers.ports import free_port
from playwright.sync_api import Browser, expect, sync_playwright
from process.running import COMMAND, PYTHON, Program, started

from asgi_app.cli.sample_data import seed
from browser.site import RESOURCES
from browser.tab import Tab, chromium

TESTS = Path(__file__).parents[1]
USERS = 3000
READER, WRITER, NO_DOCS = "R" * 40, "W" * 40, "N" * 40
ADMIN = "A" * 40

OpenTab = Callable[..., Tab]
"""Opens a tab for the service at an address. Options are those of Playwright's contexts, such as `color_scheme`."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run Chromium for the tests of a module. They are no async tests: Playwright has an event loop of its own."""
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright, chromium(playwright) as running:
        yield running


@pytest.fixture(scope="session")
def variables(cql: Session, node_address: tuple[str, int]) -> Iterator[Mapping[str, str]]:
    """Yield the variables that name the node and a keyspace with the tables of the site and many users."""
    host, port = node_address
    with own_keyspace(cql) as keyspace:
        create_tables(cql, keyspace, RESOURCES)
        seed(cql, keyspace, USERS, lambda _: None)
        yield {"CASSANDRA_HOSTS": host, "CASSANDRA_PORT": str(port), "CASSANDRA_KEYSPACE": keyspace}


@pytest.fixture(scope="session")
def site(variables: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the service at its three addresses; yield that of the server, without a slash at the end."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [PYTHON, "-m", "uvicorn", "--app-dir", str(TESTS), "--port", str(port), "browser.site:parent"]
    with started(command, tmp_path_factory.mktemp("site"), variables) as program:
        program.answers(f"{address}/readyz")
        yield address


@pytest.fixture(scope="session")
def live(variables: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a service of the same tables without a declaration; yield its address, without a slash at the end."""
    with _all_tables(variables, tmp_path_factory) as (address, _):
        yield address


@pytest.fixture(scope="session")
def guarded(variables: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the service with API keys and an admin token; yield its address."""
    keys = f"reader:read:{READER},writer:read+write:{WRITER},other:read.users:{NO_DOCS}"
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    settings = {**variables, "ASGI_CASSANDRA_API_KEYS": keys, "ASGI_CASSANDRA_ADMIN_TOKEN": ADMIN}
    command = [COMMAND, "serve", "--port", str(port)]
    with started(command, tmp_path_factory.mktemp("guarded"), settings) as program:
        program.answers(f"{address}readyz")
        yield address


@pytest.fixture
def bearer(variables: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the service with a hook that takes bearer tokens alone; yield its address, without a slash at the end."""
    port = free_port()
    command = [PYTHON, "-m", "uvicorn", "--app-dir", str(TESTS), "--port", str(port), "browser.site:bearer"]
    settings = {**variables, "BEARER": READER}
    with started(command, tmp_path_factory.mktemp("bearer"), settings) as program:
        program.answers(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def mortal(variables: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Program]]:
    """Run a service to kill; yield its address, without a slash at the end, and its process."""
    with _all_tables(variables, tmp_path_factory) as served:
        yield served


@contextmanager
def _all_tables(settings: Mapping[str, str], folders: pytest.TempPathFactory) -> Iterator[tuple[str, Program]]:
    """Run a service of the tables without a declaration; yield its address and its process."""
    port = free_port()
    command = [COMMAND, "serve", "--tables", "*", "--writable", "*", "--port", str(port)]
    with started(command, folders.mktemp("live"), settings) as program:
        program.answers(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}", program


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[OpenTab]:
    """Return a function that opens a tab. After the test no tab may have done what it must not."""
    tabs: list[Tab] = []

    def open_one(address: str, **options: object) -> Tab:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 1000}, **options})  # type: ignore[arg-type]
        context.set_default_timeout(20_000)
        tabs.append(Tab(context.new_page(), address))
        return tabs[-1]

    yield open_one
    for tab in tabs:
        tab.check()
        tab.page.context.close()


@pytest.fixture
def tab(open_tab: OpenTab, site: str) -> Tab:
    """A tab for the service at `/`."""
    return open_tab(f"{site}/")
