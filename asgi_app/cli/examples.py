"""Example commands for a fresh demo, with their responses: the demo prints them and the tests run them."""

from __future__ import annotations

import datetime
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from asgi_app.cli.sample_data import SAMPLE_ANIMALS, SAMPLE_PLANTS, sample_user
from asgi_app.cli.sightings import sample_sighting
from asgi_app.driver.codec import timestamp_text
from asgi_app.settings import Settings


class Example(NamedTuple):
    """A shell command and the response it prints; `…` in the response stands for any text."""

    command: str
    answer: str


def examples(url: str, keyspace: str, users: int, sightings: int) -> Iterator[Example]:
    """Yield the examples for a service at `url` whose keyspace was seeded with that many users and sightings."""
    health = {"status": "healthy", "cassandra": "connected", "keyspace": keyspace, "cassandra_connected": True}
    yield Example(f"curl {url}/health", _json(health)[:-1] + ',"timestamp":"…"}')
    tiger = SAMPLE_ANIMALS[0]
    yield Example(f"curl {url}/animal/{tiger.genus}/{tiger.species}", _json(tiger))
    yield Example(f"curl {url}/plant/{SAMPLE_PLANTS[0].genus}", f"[{_json(SAMPLE_PLANTS[0])},…]")
    if users:
        user = sample_user(0)
        yield Example(f"curl {url}/users/{user.id}", _json(_as_sent(user)))
    yield Example(
        f"curl {url}/users -H 'Content-Type: application/json' "
        """-d '{"name":"Ada Lovelace","email":"ada@example.org","age":36}'""",
        '{"id":"…","name":"Ada Lovelace","email":"ada@example.org","age":36,"created_at":"…","updated_at":"…"}',
    )
    if sightings:
        yield from _sighting_examples(url)


def _sighting_examples(url: str) -> Iterator[Example]:
    latest = sample_sighting(0)
    yield Example(f"curl '{url}/sightings/{latest.station}?limit=1'", f"[{_json(_as_sent(latest))}]")
    yield Example(
        f"curl '{url}/sightings?species={quote(latest.species)}&limit=1'",
        f'[{{"station":"…","species":"{latest.species}"…}}]',
    )
    saved = "curl -so sightings.csv -w '%{size_download} bytes in %{time_total} s\\n'"
    yield Example(f"{saved} '{url}/sightings/-/stream?format=csv'", "… bytes in … s")


def shutdown_example(url: str, settings: Settings) -> Iterator[Example]:
    """Yield the example that ends the service, if an admin token is set."""
    if settings.admin_token is not None:
        yield Example(
            f"curl -X POST {url}/shutdown -H 'Authorization: Bearer {settings.admin_token.reveal()}'",
            '{"message":"Shutdown initiated","status":"shutting down",…}',
        )


def own_table_hint(settings: Settings) -> str:
    """Return how to serve a table of one's own from the Cassandra of these settings."""
    command = _command()
    host = settings.cassandra_hosts[0].host
    return f"""\
Serve a table of your own from this Cassandra: save shop.py of README.md in this folder, and in another terminal run

  export CASSANDRA_HOSTS={host}:{settings.cassandra_port} CASSANDRA_KEYSPACE=shop
  {command} schema --resources shop:events
  {command} serve shop:app --port 8001

Tables that exist already need no code: {command} serve --tables '*' --port 8001"""


def _command() -> str:
    """Return how a shell in this folder finds the command line."""
    beside = Path(sys.executable).with_name("asgi-cassandra")
    if shutil.which("asgi-cassandra") or not beside.exists():
        return "asgi-cassandra"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def _as_sent(row: msgspec.Struct) -> dict[str, Any]:
    """Return the fields of a row as the service sends them."""
    return {name: _sent(value) for name, value in msgspec.structs.asdict(row).items()}


def _sent(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return timestamp_text(int(value.timestamp() * 1000))
    return sorted(value) if isinstance(value, set) else value


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
