"""What contenders are asked to do, and what a right answer is: one `Operation` for each endpoint that is measured."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from benchmarks.sample import User, time_text
from benchmarks.site import Site, first_users

LIST_LIMIT = 100
_AGES = 151
_HTTP_JSON = MappingProxyType({"Content-Type": "application/json"})
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Ask(NamedTuple):
    """One request; a `body` is JSON."""

    method: str
    path: str
    body: bytes = b""

    @property
    def headers(self) -> Mapping[str, str]:
        """What goes with the body, beside its length."""
        return _HTTP_JSON if self.body else _NO_HEADERS


@dataclass(frozen=True, slots=True)
class Operation:
    """A kind of request: `asks` gives the requests of a site, to be sent in turn and again from the beginning.

    `status` is that of every right answer, `right` tells whether a body is a right answer to an ask. What `writes` is
    sent to a `scratch_site` alone, as the rows of the site are compared byte by byte.
    """

    name: str
    title: str
    status: int
    asks: Callable[[Site], list[Ask]]
    right: Callable[[Site, Ask, bytes], bool]
    writes: bool = field(default=False, kw_only=True)


class UserText(msgspec.Struct, forbid_unknown_fields=True):
    """A user as answered: members in this order, times as text."""

    id: uuid.UUID
    name: str
    email: str
    age: int
    created_at: str
    updated_at: str


def user_of(body: bytes) -> UserText | None:
    """The user a body holds; None unless it is exactly the bytes that the contract has for one."""
    try:
        user = msgspec.json.decode(body, type=UserText)
        times_hold = all(_is_time(text) for text in (user.created_at, user.updated_at))
    except (msgspec.DecodeError, ValueError):
        return None
    return user if times_hold and msgspec.json.encode(user) == body else None


def _is_time(text: str) -> bool:
    return time_text(datetime.datetime.fromisoformat(text)) == text


def _read_asks(site: Site) -> list[Ask]:
    return [Ask("GET", user.path) for user in site.users]


def _read_is_right(site: Site, ask: Ask, body: bytes) -> bool:
    return body == _by_path(site.users)[ask.path].json()


@cache
def _by_path(users: tuple[User, ...]) -> dict[str, User]:
    return {user.path: user for user in users}


def _list_asks(site: Site) -> list[Ask]:
    return [Ask("GET", f"/users?limit={LIST_LIMIT}")]


def _list_is_right(site: Site, ask: Ask, body: bytes) -> bool:
    rows = first_users(site.node, site.keyspace, LIST_LIMIT)
    return body == b"[" + b",".join(user.json() for user in rows) + b"]"


def _insert_asks(site: Site) -> list[Ask]:
    fields = ({"name": user.name, "email": user.email, "age": user.age} for user in site.users)
    return [Ask("POST", "/users", msgspec.json.encode(each)) for each in fields]


def _insert_is_right(site: Site, ask: Ask, body: bytes) -> bool:
    user = user_of(body)
    if user is None or user.id.version != 4 or user.created_at != user.updated_at:
        return False
    sent: dict[str, object] = msgspec.json.decode(ask.body)
    return sent == {"name": user.name, "email": user.email, "age": user.age}


def _upsert_asks(site: Site) -> list[Ask]:
    return [Ask("POST", "/animal", msgspec.json.encode(_animal(number))) for number in range(len(site.users))]


def _animal(number: int) -> dict[str, object]:
    return {
        "genus": f"Genus {number // 10}",
        "species": f"species {number}",
        "image_url": f"https://example.org/images/{number}.jpg",
        "size_cm": number % 400 / 2,  # a float of 32 bits holds halves exactly
        "sightings": number,
        "taxonomy": ["Animalia", "Chordata", "Mammalia", f"Family {number // 50}"],
    }


def _upsert_is_right(site: Site, ask: Ask, body: bytes) -> bool:
    return body == b'{"inserted":true}'


def _update_asks(site: Site) -> list[Ask]:
    return [Ask("PATCH", user.path, msgspec.json.encode({"age": (user.age + 1) % _AGES})) for user in site.users]


def _update_is_right(site: Site, ask: Ask, body: bytes) -> bool:
    """All of the user is as it was, but for the age that was sent and another `updated_at`."""
    before = _by_path(site.users)[ask.path]
    after = user_of(body)
    if after is None or after.updated_at == time_text(before.updated_at):
        return False
    expected = UserText(
        before.id,
        before.name,
        before.email,
        msgspec.json.decode(ask.body)["age"],
        time_text(before.created_at),
        after.updated_at,
    )
    return after == expected


READ = Operation("read", "GET /users/{id}", 200, _read_asks, _read_is_right)
LIST = Operation("list", f"GET /users?limit={LIST_LIMIT}", 200, _list_asks, _list_is_right)
INSERT = Operation("insert", "POST /users", 201, _insert_asks, _insert_is_right, writes=True)
UPSERT = Operation("upsert", "POST /animal, no condition", 201, _upsert_asks, _upsert_is_right, writes=True)
UPDATE = Operation("update", "PATCH /users/{id}, IF EXISTS", 200, _update_asks, _update_is_right, writes=True)

OPERATIONS = MappingProxyType({each.name: each for each in (READ, LIST, INSERT, UPSERT, UPDATE)})
