"""The requests to contenders and the checks of their answers: one `Operation` for each endpoint."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks.contenders.cql import time_text
from benchmarks.processes import ContenderFailed
from benchmarks.serving import Served
from benchmarks.site import Site, first_users

LIST_LIMIT = 100
_AGES = 151
_SHOWN = 500


class Ask(NamedTuple):
    """One request; a `body` is JSON."""

    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Operation:
    """A kind of request: `asks` returns the requests for a site, and `is_right` checks the body of an answer."""

    name: str
    status: int
    asks: Callable[[Site], list[Ask]]
    is_right: Callable[[Site, Ask, bytes], bool]


class UserText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user as the API sends it: members in this order, times as text."""

    id: uuid.UUID
    name: str
    email: str
    age: int
    created_at: str
    updated_at: str


def user_text(row: Iterable[Any]) -> UserText:
    """Return a row of `users` as the API sends it."""
    user_id, name, email, age, created_at, updated_at = row
    return UserText(user_id, name, email, age, time_text(created_at), time_text(updated_at))


def check(served: Served, site: Site, operation: Operation, count: int) -> None:
    """Send up to `count` requests. Raise ContenderFailed if an answer is wrong, or if GET does not return a write."""
    asks = operation.asks(site)
    for ask in asks[:: max(1, len(asks) // count)][:count]:
        status, body = _send(served, ask)
        if status != operation.status or not operation.is_right(site, ask, body):
            raise ContenderFailed(f"{served.name} answers {ask} with {status} {body[:_SHOWN]!r}")
        if ask.body:
            later = _send(served, Ask("GET", f"/users/{_decoded(body).id}"))
            if later != (200, body):
                raise ContenderFailed(f"{served.name} answers {ask} with {body!r}, and GET with {later}")


def asks_file(site: Site, name: str, asks: Iterable[Ask]) -> Path:
    """Write the requests for a load client, one line `METHOD PATH BODY` each, and return the file."""
    path = site.folder / f"{name}.asks"
    path.write_bytes(b"".join(b"%b %b %b\n" % (ask.method.encode(), ask.path.encode(), ask.body) for ask in asks))
    return path


def _send(served: Served, ask: Ask) -> tuple[int, bytes]:
    try:
        return served.send(*ask)
    except (OSError, HTTPException) as error:
        raise ContenderFailed(f"{served.name} does not answer {ask}: {error!r}") from error


def _decoded(body: bytes) -> UserText:
    return msgspec.json.decode(body, type=UserText)


def _is_user(body: bytes) -> bool:
    """Return whether a body is, byte by byte, a user as the API sends it."""
    try:
        user = _decoded(body)
        times = [time_text(datetime.fromisoformat(text)) for text in (user.created_at, user.updated_at)]
    except (msgspec.DecodeError, ValueError):
        return False
    return times == [user.created_at, user.updated_at] and msgspec.json.encode(user) == body


def _path(user: Any) -> str:
    return f"/users/{user.id}"


def _before(site: Site, ask: Ask) -> UserText:
    """Return the user that a request names, as it was seeded."""
    return user_text(msgspec.structs.astuple(next(user for user in site.users if _path(user) == ask.path)))


def _read_asks(site: Site) -> list[Ask]:
    return [Ask("GET", _path(user)) for user in site.users]


def _is_read(site: Site, ask: Ask, body: bytes) -> bool:
    return body == msgspec.json.encode(_before(site, ask))


def _list_asks(site: Site) -> list[Ask]:
    return [Ask("GET", f"/users?limit={LIST_LIMIT}")]


def _is_list(site: Site, ask: Ask, body: bytes) -> bool:
    return body == msgspec.json.encode([user_text(row) for row in first_users(site, LIST_LIMIT)])


def _insert_asks(site: Site) -> list[Ask]:
    fields = ({"name": user.name, "email": user.email, "age": user.age} for user in site.users)
    return [Ask("POST", "/users", msgspec.json.encode(each)) for each in fields]


def _is_inserted(site: Site, ask: Ask, body: bytes) -> bool:
    if not _is_user(body) or (user := _decoded(body)).created_at != user.updated_at:
        return False
    return bool(msgspec.json.decode(ask.body) == {"name": user.name, "email": user.email, "age": user.age})


def _update_asks(site: Site) -> list[Ask]:
    return [
        Ask("PATCH", _path(user), msgspec.json.encode({"age": ((user.age or 0) + 1) % _AGES})) for user in site.users
    ]


def _is_updated(site: Site, ask: Ask, body: bytes) -> bool:
    """Return whether only the age that was sent and `updated_at` have changed."""
    if not _is_user(body):
        return False
    before, after = _before(site, ask), _decoded(body)
    age = msgspec.json.decode(ask.body)["age"]
    expected = msgspec.structs.replace(before, age=age, updated_at=after.updated_at)
    return after == expected and after.updated_at != before.updated_at


def mixed_asks(site: Site) -> list[Ask]:
    """Return requests of which eight in ten are reads, one an insert and one an update, evenly mixed."""
    reads, inserts, updates = _read_asks(site), _insert_asks(site), _update_asks(site)
    kinds = [inserts, reads, reads, reads, reads, updates, reads, reads, reads, reads]
    return [kinds[position % 10][position] for position in range(len(reads))]


READ = Operation("read", 200, _read_asks, _is_read)
LIST = Operation("list", 200, _list_asks, _is_list)
INSERT = Operation("insert", 201, _insert_asks, _is_inserted)
UPDATE = Operation("update", 200, _update_asks, _is_updated)
