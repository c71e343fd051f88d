"""Read `.env` files: what is accepted, what is ignored and logged, and what is refused with its line number."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from asgi_app.settings import Problem, Secret, Settings, SettingsError

SECRET = "correct-horse-battery-staple-0123456789"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def problems(path: Path, environ: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ or {}, path)
    assert SECRET not in str(caught.value)
    return caught.value.problems


def test_malformed_lines_are_reported_with_other_problems(path: Path) -> None:
    path.write_text(f"CASSANDRA_PORT=x\n\n\nCASSANDRA_PASSWORD '{SECRET}'\nOTHER=1\n=b\n")
    assert problems(path) == (
        Problem(str(path), "line 4 is not NAME=value"),
        Problem(str(path), "line 6 is not NAME=value"),
        Problem("CASSANDRA_PORT", "is not a whole number; allowed: 1 to 65535"),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"OTHER=1\n\nCASSANDRA_PASSWORD=\xff\n", "line 3 is not UTF-8 text"),
        ("CASSANDRA_PORT=1\n".encode("utf-16"), "line 1 is not UTF-8 text"),
        (b"OTHER=1\r\nCASSANDRA_PASSWORD=a\0b\n", "line 2 contains a NUL character"),
        (b"OTHER=1\n# a comment\0\n", "line 2 contains a NUL character"),
    ],
)
def test_file_that_is_not_text(content: bytes, message: str, path: Path) -> None:
    path.write_bytes(content)
    assert Problem(str(path), message) in problems(path)


def test_virtual_environment_named_env_is_ignored_and_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.mkdir()
    with caplog.at_level(logging.INFO):
        assert Settings.load({"CASSANDRA_PORT": "1"}, path).cassandra_port == 1
    assert caplog.messages == [f"{path} is a directory, so no settings are read from it"]


def test_other_directory_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path)
    assert problem == Problem(str(tmp_path), "cannot be read: Is a directory")


def test_dangling_symlink_is_refused(path: Path) -> None:
    path.symlink_to(path.with_name("gone"))
    assert problems(path) == (Problem(str(path), "is a symbolic link to a file that does not exist"),)


def test_symlink_to_itself_is_refused(path: Path) -> None:
    path.symlink_to(path)
    (problem,) = problems(path)
    assert problem.message.startswith("cannot be read: ")


def test_file_without_read_permission_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path) -> bytes:  # the tests may run as root, who can read every file
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert problems(path) == (Problem(str(path), "cannot be read: Permission denied"),)


# Backslashes and quotes

HINT = "(in .env a backslash in double quotes begins an escape: use single quotes)"


@pytest.mark.parametrize(
    ("line", "name", "character"),
    [
        (r'CASSANDRA_SSL_CA_CERTS="C:\new\top"', "CASSANDRA_SSL_CA_CERTS", "U+000A"),
        (r'CASSANDRA_SSL_CA_CERTS="\top\ca.pem"', "CASSANDRA_SSL_CA_CERTS", "U+0009"),
        (r'CASSANDRA_LOCAL_DC="dc\b1"', "CASSANDRA_LOCAL_DC", "U+0008"),
        (r'CASSANDRA_HOSTS="a\b,c"', "CASSANDRA_HOSTS", "U+0008"),
        (rf'CASSANDRA_PASSWORD="{SECRET}\n"', "CASSANDRA_PASSWORD", "U+000A"),
        (rf'ASGI_CASSANDRA_PAGE_KEYS="{SECRET}\t{SECRET}"', "ASGI_CASSANDRA_PAGE_KEYS", "U+0009"),
        (r'CASSANDRA_PORT="9042\n"', "CASSANDRA_PORT", "U+000A"),
    ],
)
def test_escape_in_double_quotes_is_refused(line: str, name: str, character: str, path: Path) -> None:
    path.write_text(f"CASSANDRA_SSL_ENABLED=true\n{line}\n")
    found = dict(reversed(problems(path)))
    assert found[name].startswith(f"contains the control character {character} {HINT}")


def test_backslash_without_double_quotes_is_literal(path: Path) -> None:
    path.write_text("CASSANDRA_USERNAME=a\\new\nCASSANDRA_PASSWORD='C:\\new\\top'\n")
    settings = Settings.load({}, path)
    assert settings.cassandra_username == "a\\new"
    assert settings.cassandra_password == Secret("C:\\new\\top")


def test_inner_quotes_are_part_of_the_value(path: Path) -> None:
    path.write_text("CASSANDRA_USERNAME=u\nCASSANDRA_PASSWORD='\"pass word\"'\n")
    assert Settings.load({}, path).cassandra_password == Secret('"pass word"')


def test_list_over_several_lines(path: Path) -> None:
    path.write_text('CASSANDRA_HOSTS="\n  a,\n  b\n"\n')
    assert [point.host for point in Settings.load({}, path).cassandra_hosts] == ["a", "b"]


def test_control_character_from_the_environment_has_no_escape_hint(path: Path) -> None:
    path.write_text('CASSANDRA_USERNAME="a\\nb"\n')
    (problem, *_) = problems(path, {"CASSANDRA_USERNAME": "a\tb"})
    assert problem == Problem("CASSANDRA_USERNAME", "contains the control character U+0009")
