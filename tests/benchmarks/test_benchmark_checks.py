"""The benchmarks' checks of answers, and which contenders can run."""

from __future__ import annotations

import ensurepip
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asgi_app.cli.sample_data import sample_user
from asgi_app.settings import ContactPoint
from benchmarks import environments
from benchmarks.contenders import FASTAPI, SERVICE
from benchmarks.environments import interpreter, run_with
from benchmarks.operations import INSERT, READ, UPDATE, Operation, asks_file, check, mixed_asks
from benchmarks.processes import ContenderFailed
from benchmarks.site import Site

NOW = "2026-01-02T03:04:05.678Z"


class Contender:
    """Keeps users in memory and answers as the contract has it; `spoil` changes the answers to writes."""

    name = "a contender"

    def __init__(self, site: Site, spoil: tuple[str, str] | None = None) -> None:
        self._spoil = spoil
        self._users: dict[str, dict[str, Any]] = {f"/users/{user.id}": _text(user) for user in site.users}

    def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Answer one request."""
        if method == "POST":
            fields = {"id": "5a2f4b0e-0000-4000-8000-000000000000", **msgspec.json.decode(body)}
            path = f"/users/{fields['id']}"
            self._users[path] = {**fields, "created_at": NOW, "updated_at": NOW}
        elif method == "PATCH":
            self._users[path] |= {**msgspec.json.decode(body), "updated_at": NOW}
        answer = msgspec.json.encode(self._users[path]).decode()
        if self._spoil and method != "GET":
            answer = re.sub(*self._spoil, answer)
        return (201 if method == "POST" else 200), answer.encode()


def _text(user: Any) -> dict[str, Any]:
    times = {name: getattr(user, name).strftime("%Y-%m-%dT%H:%M:%S.000Z") for name in ("created_at", "updated_at")}
    return {"id": str(user.id), "name": user.name, "email": user.email, "age": user.age, **times}


WITHOUT_ENSUREPIP = """\
#!/bin/sh
case " $* " in
    *--without-pip*) ;;
    *" -m venv "* | *ensurepip*) exit 1 ;;
esac
exec {python} "$@"
"""
"""Python as Debian has it without the package python3-venv."""


def test_environment_is_made_without_ensurepip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python3"
    python.write_text(WITHOUT_ENSUREPIP.format(python=sys.executable))
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # the pip that comes with Python is enough
    monkeypatch.setenv("PIP_FIND_LINKS", str(Path(ensurepip.__file__).parent / "_bundled"))
    contender = replace(FASTAPI, name="Only pip", requirements=("pip",), python_at_least=(3, 11))
    made = Path(interpreter(contender))
    assert made.is_relative_to(tmp_path)
    assert "pip" in run_with(contender, "-m", "pip", "--version")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site of twenty users; nothing connects to its node."""
    return Site(ContactPoint("127.0.0.1", 1), "a_keyspace", tuple(map(sample_user, range(20))), tmp_path)


@pytest.mark.parametrize("operation", [READ, INSERT, UPDATE], ids=lambda operation: operation.name)
def test_right_answers_pass(site: Site, operation: Operation) -> None:
    check(Contender(site), site, operation, 10)


@pytest.mark.parametrize("operation", [INSERT, UPDATE], ids=lambda operation: operation.name)
@pytest.mark.parametrize(
    "spoil",
    [
        ('","age"', '", "age"'),
        (r"\.678Z", ".67Z"),
        ("}$", ',"more":1}'),
        (r'"age":\d+', '"age":200'),
        ('"email":"[^"]*"', '"email":"x"'),
    ],
    ids=["a space", "another form of time", "one member more", "another age", "another address"],
)
def test_wrong_answers_fail(site: Site, operation: Operation, spoil: tuple[str, str]) -> None:
    with pytest.raises(ContenderFailed, match=r"a contender answers .* with 20\d b"):
        check(Contender(site, spoil), site, operation, 10)


def test_a_read_is_compared_byte_by_byte(site: Site) -> None:
    class Spaced(Contender):
        def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
            status, answer = super().send(method, path, body)
            return status, answer + b" "

    with pytest.raises(ContenderFailed, match="a contender answers"):
        check(Spaced(site), site, READ, 1)


@pytest.mark.parametrize("operation", [INSERT, UPDATE], ids=lambda operation: operation.name)
def test_a_write_that_is_not_there_afterwards_fails(site: Site, operation: Operation) -> None:
    class Forgetful(Contender):
        def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
            return (404, b"") if method == "GET" else super().send(method, path, body)

    with pytest.raises(ContenderFailed, match="and GET with"):
        check(Forgetful(site), site, operation, 1)


def test_of_ten_mixed_requests_eight_are_reads(site: Site) -> None:
    methods = [ask.method for ask in mixed_asks(site)]
    assert [methods.count(method) for method in ("GET", "POST", "PATCH")] == [16, 2, 2]
    lines = asks_file(site, "mixed", mixed_asks(site)).read_text().splitlines()
    assert lines[0].startswith('POST /users {"name":')
    assert lines[1] == f"GET /users/{site.users[1].id} "


def test_a_contender_that_needs_a_later_python_does_not_run() -> None:
    with pytest.raises(ContenderFailed, match=r"needs Python 9\.9"):
        interpreter(replace(FASTAPI, python_at_least=(9, 9)))
    assert interpreter(replace(SERVICE, python_at_least=(9, 9)))  # it runs in the environment of the benchmarks
