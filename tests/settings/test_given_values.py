"""Trimming around values, and texts that every setting refuses."""

from pathlib import Path

import pytest

from asgi_app.settings import ContactPoint, Problem, Secret, Settings, SettingsError, setting_fields

KEY = "correct-horse-battery-staple-0123456789"
QUOTES = "has quotes around it, which only a shell and .env remove; leave them out"


def load(**environ: str) -> Settings:
    return Settings.load(environ, env_file=None)


def first_problem(environ: dict[str, str], overrides: dict[str, str] | None = None) -> Problem:
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ, None, overrides)
    return caught.value.problems[0]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
def test_trailing_line_end_is_removed(end: str) -> None:
    settings = load(
        CASSANDRA_USERNAME=f"app{end}",
        CASSANDRA_PASSWORD=f"pass word{end}",
        CASSANDRA_KEYSPACE=f"shop{end}",
        CASSANDRA_PORT=f"9043{end}",
        ASGI_CASSANDRA_ADMIN_TOKEN=f"{KEY}{end}",
        ASGI_CASSANDRA_PAGE_KEYS=f"{KEY}{end}",
        ASGI_CASSANDRA_API_KEYS=f"ci:read:{KEY}{end}",
        ASGI_CASSANDRA_LOG_LEVEL=f"debug{end}",
    )
    assert settings.cassandra_username == "app"
    assert settings.cassandra_password == Secret("pass word")
    assert settings.cassandra_keyspace == "shop"
    assert settings.cassandra_port == 9043
    assert settings.admin_token == Secret(KEY)
    assert settings.page_keys == (Secret(KEY),)
    assert settings.api_keys == (Secret(f"ci:read:{KEY}"),)
    assert settings.log_level == "debug"


def test_blanks_around_a_password_are_kept() -> None:
    settings = load(CASSANDRA_USERNAME=" app ", CASSANDRA_PASSWORD=" pass word \n")
    assert settings.cassandra_username == "app"
    assert settings.cassandra_password == Secret(" pass word ")


@pytest.mark.parametrize("character", ["\n", "\t", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\ufeff", "\u200b"])
@pytest.mark.parametrize("name", [field.env for field in setting_fields() if field.type in (str, Secret, Path)])
def test_control_character_is_refused(name: str, character: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(**{name: f"a{character}b"})
    expected = f"contains the control character U+{ord(character):04X}"
    assert any(it.name == name and it.message.startswith(expected) for it in caught.value.problems)


def test_byte_order_mark_is_refused() -> None:
    problem = first_problem({"CASSANDRA_USERNAME": "\ufeffapp"})
    assert problem == Problem("CASSANDRA_USERNAME", "contains the control character U+FEFF")


@pytest.mark.parametrize("name", [field.env for field in setting_fields()])
@pytest.mark.parametrize("text", ['"x"', "'x'", '""', '"x"\r', '"'])
def test_quotes_in_the_environment_are_refused(name: str, text: str) -> None:
    if text == '"':
        text = f'"{KEY}, {KEY}"'
    assert first_problem({name: text}).message.startswith(QUOTES)


def test_quotes_in_an_option_are_part_of_the_value() -> None:
    settings = Settings.load({}, None, {"CASSANDRA_LOCAL_DC": "'dc1'"})
    assert settings.cassandra_local_dc == "'dc1'"


def test_single_quote_character_is_part_of_the_value() -> None:
    assert load(CASSANDRA_USERNAME="app", CASSANDRA_PASSWORD='"').cassandra_password == Secret('"')
    assert load(CASSANDRA_USERNAME="app", CASSANDRA_PASSWORD="\"a'").cassandra_password == Secret("\"a'")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cassandra_username", "app\n"),
        ("cassandra_password", Secret("password\n")),
        ("cassandra_hosts", (ContactPoint("db1\t"),)),
        ("cassandra_ssl_ca_certs", Path("a\nb")),
        ("page_keys", (Secret(KEY), Secret(f"{KEY}\r"))),
    ],
)
def test_values_in_code_are_refused_not_trimmed(name: str, value: object) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**{name: value})  # type: ignore[arg-type]
    assert any("contains the control character U+000" in problem.message for problem in caught.value.problems)
