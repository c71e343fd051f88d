"""Example commands for a fresh demo, with their responses: the demo prints them and the tests run them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from asgi_app.cli.sample_data import SAMPLE_ANIMALS, SAMPLE_PLANTS, sample_user
from asgi_app.driver.codec import timestamp_text
from asgi_app.settings import Settings
from asgi_app.tables.builtin import User


class Example(NamedTuple):
    """A shell command and the response it prints; `…` in the response stands for any text."""

    command: str
    answer: str


def examples(url: str, keyspace: str, users: int) -> Iterator[Example]:
    """Yield the examples for a service at `url` whose keyspace was seeded with `users` users."""
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
    yield Example(f"curl '{url}/users/stream?age_filter=30&fetch_size=100'", '[{"id":"…"}]')


def shutdown_example(url: str, settings: Settings) -> Iterator[Example]:
    """Yield the example that ends the service, if an admin token is set."""
    if settings.admin_token is not None:
        yield Example(
            f"curl -X POST {url}/shutdown -H 'Authorization: Bearer {settings.admin_token.reveal()}'",
            '{"message":"Shutdown initiated","status":"shutting down",…}',
        )


def _as_sent(user: User) -> dict[str, Any]:
    """Return the fields of a user as the service sends them."""
    fields = msgspec.structs.asdict(user)
    times = {name: timestamp_text(int(fields[name].timestamp() * 1000)) for name in ("created_at", "updated_at")}
    return {**fields, **times}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
