"""The service below a prefix behind nginx, requested with curl: mounted, and served with a root path."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cassandra.cluster import Session
from helpers.cassandra import count
from helpers.ports import free_port
from helpers.waiting import wait_until

from asgi_app.cli.sample_data import seed
from process.running import COMMAND, PYTHON, Program, started

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
USERS = 4000
EDITOR, READER = "E" * 40, "R" * 40
PAGE = "https://app.example.org"
ADA = '{"name": "Ada Lovelace", "email": "ada@example.org", "age": 36}'
STREAM_SECONDS = 2
PARTS_OF_A_LINK = "<>"


@dataclass(frozen=True)
class Answer:
    """The response that curl received, and its exit code."""

    code: int
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def problem(self, status: int, code: str) -> Any:
        """Return the problem document; fail if the response is not one."""
        assert (self.status, self.headers["content-type"]) == (status, "application/problem+json"), self
        assert self.json()["code"] == code
        return self.json()


@dataclass(frozen=True)
class Prefix:
    """A prefix at the proxy, and the program behind it."""

    origin: str
    path: str
    program: Program
    folder: Path

    def curl(self, path: str, *options: str, key: str | None = EDITOR) -> Answer:
        """Request a path of this origin with curl, which sends the path unchanged."""
        head, body = self.folder / "head", self.folder / "body"
        body.write_bytes(b"")
        credentials = ["-H", f"X-API-Key: {key}"] if key else []
        command = ["curl", "-sS", "--path-as-is", "--globoff", "-m", "60", "-D", str(head), "-o", str(body)]
        ended = subprocess.run([*command, *credentials, *options, self.origin + path], check=False, timeout=90)
        first, *lines = head.read_bytes().decode("latin-1").strip().split("\r\n\r\n")[-1].split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Answer(ended.returncode, int(first.split()[1]), headers, body.read_bytes())

    def post(self, path: str, body: str, *options: str, key: str | None = EDITOR) -> Answer:
        content = ("-H", "Content-Type: application/json", "--data-binary", body)
        return self.curl(path, *content, *options, key=key)


@contextmanager
def nginx(folder: Path, port: int, mounted: int, served: int, buffering: str) -> Iterator[Program]:
    """Run nginx with the documented configuration and other ports, as this user."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.fail("nginx is not installed: apt-get install nginx-light, or run scripts/test-long, which fetches it.")
    site = (ROOT / "examples" / "nginx.conf").read_text()
    changes = {":8080": f":{port}", ":8000": f":{mounted}", ":8001": f":{served}"}
    for documented, own in {**changes, "proxy_buffering off": f"proxy_buffering {buffering}"}.items():
        assert documented in site
        site = site.replace(documented, own)
    folder.mkdir()
    (folder / "site.conf").write_text(site)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder / kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        "daemon off;\nmaster_process off;\n"
        f"pid {folder / 'pid'};\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}include {folder / 'site.conf'};\n}}\n"
    )
    with started([found, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")], folder, {}) as program:
        yield program


@pytest.fixture(scope="module")
def programs(
    cql: Session, settings: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Program, int]]]:
    """Run the service in both ways to be below a prefix; yield programs and ports by prefix."""
    seed(cql, settings["CASSANDRA_KEYSPACE"], USERS, lambda _: None)
    folder = tmp_path_factory.mktemp("services")
    variables = {
        **settings,
        "ASGI_CASSANDRA_API_KEYS": f"editor:read+write:{EDITOR},reader:read:{READER}",
        "ASGI_CASSANDRA_CORS_ORIGINS": PAGE,
        "ASGI_CASSANDRA_STREAM_TIMEOUT": str(STREAM_SECONDS),
        "ASGI_CASSANDRA_LOG_FORMAT": "json",
    }
    mounted, served = free_port(), free_port()
    uvicorn = [PYTHON, "-m", "uvicorn", "--app-dir", str(ROOT), "--port", str(mounted)]
    serve = [COMMAND, "serve", "--root-path", "/served", "--port", str(served)]
    with (
        started([*uvicorn, "examples.mount_in_starlette:app"], folder, variables) as parent,
        started(serve, folder, variables) as service,
    ):
        parent.answers(f"http://127.0.0.1:{mounted}/db/readyz")
        service.answers(f"http://127.0.0.1:{served}/readyz")
        yield {"/db": (parent, mounted), "/served": (service, served)}


@pytest.fixture(scope="module", params=["off", "on"])
def origin(
    request: pytest.FixtureRequest,
    programs: Mapping[str, tuple[Program, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """Run the proxy with and without response buffering; yield its URL."""
    port = free_port()
    folder = tmp_path_factory.mktemp("proxy") / "nginx"
    with nginx(folder, port, programs["/db"][1], programs["/served"][1], request.param) as program:
        program.answers(f"http://127.0.0.1:{port}/db/readyz")
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(params=["/db", "/served"])
def prefix(
    request: pytest.FixtureRequest, origin: str, programs: Mapping[str, tuple[Program, int]], tmp_path: Path
) -> Prefix:
    return Prefix(origin, request.param, programs[request.param][0], tmp_path)


def test_create_read_change_and_delete_by_links(prefix: Prefix) -> None:
    written = prefix.post(f"{prefix.path}/users", ADA)
    assert written.status == 201
    where = written.headers["location"]
    assert where == f"{prefix.path}/users/{written.json()['id']}"
    assert prefix.curl(where).json() == written.json()
    changed = prefix.post(where, '{"age": 37}', "-X", "PATCH")
    assert (changed.status, changed.json()["age"]) == (200, 37)
    head = prefix.curl(where, "-I")
    assert (head.code, head.status, head.headers["content-length"]) == (0, 200, str(len(written.body)))
    assert prefix.curl(where, "-X", "DELETE").status == 204
    assert prefix.curl(where).problem(404, "not_found")["instance"] == where


def test_links_to_next_pages(prefix: Prefix) -> None:
    seen: list[str] = []
    path = f"{prefix.path}/users?limit=3"
    for _ in range(4):
        page = prefix.curl(path)
        seen += [user["id"] for user in page.json()]
        target, _, relation = page.headers["link"].partition(";")
        assert 'rel="next"' in relation
        path = target.strip(PARTS_OF_A_LINK)
        assert path.startswith(f"{prefix.path}/users?")
    assert len(set(seen)) == 12


def test_complete_stream_in_chunks(prefix: Prefix, cql: Session, settings: Mapping[str, str]) -> None:
    stream = prefix.curl(f"{prefix.path}/users/stream?fetch_size=500")
    assert (stream.code, stream.status, stream.headers["transfer-encoding"]) == (0, 200, "chunked")
    assert len(stream.json()) == count(cql, f"{settings['CASSANDRA_KEYSPACE']}.users")


def test_aborted_stream_is_visible_to_the_client(prefix: Prefix) -> None:
    broken = prefix.curl(f"{prefix.path}/users/stream?fetch_size=1&format=ndjson")
    assert (broken.code, broken.status) == (18, 200)  # CURLE_PARTIAL_FILE
    *rows, last = broken.body.splitlines()
    assert 0 < len(rows) < USERS
    assert json.loads(last)["error"]["code"] == "deadline_exceeded"


@pytest.mark.parametrize(
    ("genus", "species", "sent"),
    [
        ("a/b", "c/d", "/animal/a%2Fb/c%2Fd"),
        ("..", ".", "/animal/%2e%2e/%2E"),
        ("Ünïcode 猫", "?#&+;=", "/animal/%C3%9Cn%C3%AFcode%20%E7%8C%AB/%3F%23%26%2B%3B%3D"),
        ("raw", "Ünïcode", "/animal/raw/Ünïcode"),
        ("%2F", "a\\b", "/animal/%252F/a%5Cb"),
    ],
)
def test_key_arrives_as_sent(prefix: Prefix, genus: str, species: str, sent: str) -> None:
    animal = {"genus": genus, "species": species, "image_url": "", "size_cm": 1, "sightings": 1, "taxonomy": []}
    written = prefix.post(f"{prefix.path}/animal", json.dumps(animal))
    assert written.status == 201
    for path in (written.headers["location"], prefix.path + sent):
        found = prefix.curl(path)
        assert (found.status, found.json()["genus"], found.json()["species"]) == (200, genus, species)


def test_similar_paths_are_not_found(prefix: Prefix) -> None:
    for path in ("//users", "/users/", "/animal//x", "/x/../users", "/./users", "/users%2Fstream", "/users;a=b"):
        assert prefix.curl(prefix.path + path, key=None).problem(401, "unauthorized")
        refused = prefix.curl(prefix.path + path)
        assert refused.problem(404, "not_found")["instance"] == prefix.path + path
    assert prefix.curl(f"{prefix.path}/%75sers", key=None).status == 401
    assert (
        prefix.curl(f"/x/..{prefix.path}/users").status == 404
    )  # nginx matches the prefix, but passes on the path unchanged


def test_request_id_passes_the_proxy(prefix: Prefix) -> None:
    answer = prefix.curl(f"{prefix.path}/livez", "-H", "X-Request-ID: from-outside.1", key=None)
    assert answer.headers["x-request-id"] == "from-outside.1"


def test_cors_through_the_proxy(prefix: Prefix) -> None:
    asks = ("-H", f"Origin: {PAGE}", "-H", "Access-Control-Request-Method: PUT")
    preflight = prefix.curl(f"{prefix.path}/users/1", "-X", "OPTIONS", *asks, key=None)
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (200, PAGE)
    refused = prefix.curl(f"{prefix.path}/users", "-H", f"Origin: {PAGE}", key=None)
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, PAGE)
    stranger = prefix.curl(f"{prefix.path}/users", "-H", "Origin: null")
    assert (stranger.status, "access-control-allow-origin" in stranger.headers) == (200, False)


def test_large_requests_are_refused_by_the_service(prefix: Prefix) -> None:
    large = prefix.folder / "large"
    large.write_text(json.dumps({"name": "x" * 1_500_000}))
    for how in ((), ("-H", "Transfer-Encoding: chunked")):
        prefix.post(f"{prefix.path}/users", f"@{large}", *how).problem(413, "body_too_large")
    prefix.curl(f"{prefix.path}/users?x={'x' * 9000}").problem(414, "uri_too_long")
    many = [option for number in range(5) for option in ("-H", f"X-Large-{number}: {'x' * 4000}")]
    prefix.curl(f"{prefix.path}/users", *many).problem(431, "headers_too_large")


def test_api_keys(prefix: Prefix) -> None:
    assert prefix.curl(f"{prefix.path}/users", key=None).problem(401, "unauthorized")
    assert prefix.curl(f"{prefix.path}/users", "-I", key=None).status == 401
    assert prefix.curl(f"{prefix.path}/users?limit=1", "-H", f"Authorization: Bearer {READER}", key=None).status == 200
    assert prefix.post(f"{prefix.path}/users", ADA, key=READER).problem(403, "forbidden")


def test_log_has_the_client_that_the_proxy_reports(
    programs: Mapping[str, tuple[Program, int]], origin: str, tmp_path: Path
) -> None:
    program, port = programs["/served"]
    served = Prefix(origin, "/served", program, tmp_path)

    def client_of(request_id: str) -> str | None:
        lines = [json.loads(line) for line in program.errors.splitlines() if request_id in line]
        return lines[0]["client"] if lines else None

    forged = ("-H", "X-Forwarded-For: 192.0.2.66", "-H", "X-Forwarded-Proto: https")
    number = origin.rpartition(":")[2]
    served.curl("/served/health", *forged, "-H", f"X-Request-ID: proxied-{number}")
    assert wait_until("it is logged", lambda: client_of(f"proxied-{number}")) == "127.0.0.1"
    direct = Prefix(f"http://127.0.0.1:{port}", "", program, tmp_path)  # here the test is the trusted proxy
    direct.curl("/health", *forged, "-H", f"X-Request-ID: direct-{number}")
    assert wait_until("it is logged", lambda: client_of(f"direct-{number}")) == "192.0.2.66"
