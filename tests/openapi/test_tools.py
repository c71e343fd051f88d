"""The document in the hands of tools: a linter, a generator of clients, and one that calls every operation."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from helpers.pages import program

from openapi.documents import EVERY_KIND, document_of
from openapi.shop import LIVE
from openapi.test_document import builtin_document

FOLDER = Path(__file__).parent
BIN = Path(sys.executable).parent

NPX = shutil.which("npx")
REDOCLY = "@redocly/cli@2"


def run(
    command: Sequence[str], folder: Path, seconds: float = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command and return its exit code and output."""
    environ = {**os.environ, **environment}
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=seconds, check=False
    )


@pytest.mark.network
@pytest.mark.skipif(NPX is None, reason="npm is not installed")
def test_redocly_accepts_the_documents(tmp_path: Path) -> None:
    (tmp_path / "redocly.yaml").write_text("extends: [recommended]\n")
    for document in (builtin_document(), document_of(*EVERY_KIND, has_keys=True)):
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        command = [str(NPX), "--yes", REDOCLY, "lint", "--format=json", "openapi.json"]
        done = run(command, tmp_path, REDOCLY_TELEMETRY="off", REDOCLY_SUPPRESS_UPDATE_NOTICE="true")
        assert done.returncode == 0, done.stdout + done.stderr
        totals = json.loads(done.stdout)["totals"]
        assert (totals["errors"], totals["warnings"]) == (0, 0), done.stdout


@pytest.fixture(scope="module")
def client_package(shop_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a package that openapi-python-client made; it can be imported."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_bytes(httpx.get(f"{shop_url}/openapi.json").content)
    page = (FOLDER.parents[1] / "docs" / "openapi.md").read_text()
    (folder / "config.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    options = ["--path", "openapi.json", "--output-path", "shop_client", "--meta", "none", "--config", "config.yaml"]
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = run([str(BIN / "openapi-python-client"), "generate", *options], folder, PATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr, done.stdout
    sys.path.insert(0, str(folder))
    yield "shop_client"
    sys.path.remove(str(folder))


class Generated:
    """The generated client: `call` calls an operation, `model` makes a body."""

    def __init__(self, package: str, url: str) -> None:
        self._package = package
        self.client = importlib.import_module(f"{package}.client").Client(base_url=url)

    def call(self, tag: str, name: str, *key: Any, status: int = 200, **parameters: Any) -> Any:
        """Call the operation `<tag>_<name>`, expect its status, and return the parsed answer."""
        module = importlib.import_module(f"{self._package}.api.{tag}.{tag}_{name}")
        answer = module.sync_detailed(*key, client=self.client, **parameters)
        assert answer.status_code == status, answer.content
        return answer.parsed

    def model(self, name: str, members: dict[str, Any]) -> Any:
        return getattr(importlib.import_module(f"{self._package}.models"), name).from_dict(members)


@pytest.fixture(scope="module")
def generated(client_package: str, shop_url: str) -> Iterator[Generated]:
    made = Generated(client_package, shop_url)
    with made.client:
        yield made


@pytest.mark.long
def test_generated_client_uses_each_verb_of_users(generated: Generated) -> None:
    call, model = generated.call, generated.model
    ada = {"name": "Ada", "email": "ada@example.org", "age": 36}
    user = call("users", "create", status=201, body=model("UsersNew", ada))
    assert isinstance(user.id, uuid.UUID)
    assert isinstance(user.created_at, datetime.datetime)
    assert call("users", "read", user.id) == user
    assert call("users", "change", user.id, body=model("UsersChange", {"age": 37})).age == 37
    assert call("users", "replace", user.id, body=model("UsersNew", ada)).age == 36
    batch = call("users", "batch", status=201, body=[model("UsersNew", ada)])
    assert batch.created == 1
    assert len(call("users", "list", limit=2)) == 2
    page = call("users", "pages", fetch_size=1)
    assert page.has_more
    assert call("users", "pages", page_state=page.page_state).users != page.users
    assert len(call("users", "stream", limit=1)) == 1
    call("users", "delete", user.id, status=204)
    assert call("users", "read", user.id, status=404).code == "not_found"
    wrong = call("users", "create", status=422, body=model("UsersNew", {**ada, "age": 200}))
    assert [error.field for error in wrong.errors] == ["/age"]


ROW: dict[str, Any] = {
    "c_ascii": "a",
    "c_bigint": 2**63 - 1,
    "c_blob": "0x00ff",
    "c_boolean": True,
    "c_date": "2024-02-29",
    "c_decimal": "1.50",
    "c_double": 0.5,
    "c_duration": "1d2h",
    "c_float": "NaN",
    "c_inet": "2001:db8::1",
    "c_int": -1,
    "c_smallint": 2,
    "c_text": "é",
    "c_time": "13:14:15.000000001",
    "c_timestamp": "2026-11-28T09:00:00.000+00:00",
    "c_timeuuid": "50554d6e-29bb-11e5-b345-feff819cdc9f",
    "c_tinyint": 3,
    "c_uuid": "b26b2a23-4d70-41c3-88a7-a9aa9e135a93",
    "c_varint": str(2**100),
    "c_list": [3, 1],
    "c_set": ["a", "b"],
    "c_map": {"2024-02-29": "leap"},
    "c_frozen": [1],
    "c_nested": {"a": [{"1": ["x"]}]},
    "c_pairs": [[[1, "a"], "x"]],
    "c_tuple": [1, "a", [2]],
    "c_vector": [0.5, 1.0, 1.5],
    "c_words": ["a", "b"],
    "c_place": {"name": "x", "spot": [1.5, 2.5]},
    "c_places": [{"name": None, "spot": None}],
    "Mixed name/é.~": "v",
}


@pytest.mark.long
@pytest.mark.parametrize("table", ["everything", LIVE])
def test_generated_client_writes_and_reads_every_type(generated: Generated, table: str) -> None:
    prefix = "".join(part.capitalize() for part in table.split("_"))
    row_id = uuid.uuid4().hex

    def call(name: str, *key: Any, **options: Any) -> Any:
        return generated.call(table, name, *key, **options)

    created = call("create", status=201, body=generated.model(f"{prefix}New", {"id": row_id, **ROW}))
    read = call("read", row_id)
    assert read == created
    shown = read.to_dict()
    assert {name: shown[name] for name in ROW} == {**ROW, "c_timestamp": "2026-11-28T09:00:00+00:00"}
    assert call("read_by_query", id=row_id) == read
    call("replace", row_id, status=204, body=generated.model(f"{prefix}Replacement", ROW))
    assert call("read", row_id) == read
    change = {"c_set": {"$add": ["c"]}, "c_map": {"2024-02-29": None, "2024-03-01": "day"}, "c_int": None}
    call("change", row_id, status=204, body=generated.model(f"{prefix}Change", change))
    changed = call("read", row_id).to_dict()
    assert (changed["c_set"], changed["c_map"], changed["c_int"]) == (["a", "b", "c"], {"2024-03-01": "day"}, None)
    where = {"where": {"id": row_id}, "select": ["c_uuid"]}
    found = call("search", body=generated.model(f"{prefix}Search", where))
    assert [str(each.c_uuid) for each in found] == [ROW["c_uuid"]]
    assert [each.id for each in call("list", id_in=[row_id])] == [row_id]
    assert call("pages", id=row_id).rows[0].id == row_id
    call("delete", row_id, status=204)
    call("read", row_id, status=404)


@pytest.mark.long
@pytest.mark.usefixtures("client_package")
def test_program_of_the_page(shop_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = (FOLDER.parents[1] / "docs" / "openapi.md").read_text()
    source = program(page).replace("http://127.0.0.1:8000", shop_url)
    exec(compile(source, "docs/openapi.md", "exec"), {})  # noqa: S102 - it is this project's own page
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(str(datetime.datetime.now(datetime.UTC).year))
    assert lines[1:] == ["37", "1 True"]


@pytest.mark.long
def test_generated_client_uses_versions(generated: Generated) -> None:
    row_id = uuid.uuid4().hex
    created = generated.call(
        "documents", "create", status=201, body=generated.model("DocumentsNew", {"id": row_id, "title": "a"})
    )
    change = generated.model("DocumentsChange", {"title": "b"})
    tag = f'"{created.rev}"'
    changed = generated.call("documents", "change", row_id, body=change, if_match=tag)
    assert changed.title == "b"
    problem = generated.call("documents", "change", row_id, status=412, body=change, if_match=tag)
    assert problem.code == "precondition_failed"


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_schemathesis_finds_no_fault(shop_url: str, tmp_path: Path) -> None:
    """Each operation answers as the document says, whatever is sent, and takes what the document allows."""
    config = str(FOLDER / "schemathesis.toml")
    command = [str(BIN / "schemathesis"), "--config-file", config, "run", f"{shop_url}/openapi.json"]
    options = ["--max-examples", "10", "--workers", "2", "--no-color"]
    done = run([*command, *options], tmp_path, 1400, PYTHONPATH=str(FOLDER))
    assert done.returncode == 0, done.stdout[-20000:]
