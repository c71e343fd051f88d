"""Whether a contender answers rightly: `python -m benchmarks.checks [--node HOST:PORT]` checks all of them.

Each operation is asked some times; rows and bodies are compared with what the plain driver reads, in other processes
than the contender's. Ends with 1 where anything is not right.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http.client import HTTPException

import msgspec

from asgi_app.tables.builtin import ANIMALS
from asgi_app.tables.cql import Queries
from benchmarks.contenders import CHUNK_A_ROW, CONTENDERS, Contender
from benchmarks.driver_worker import Body
from benchmarks.environments import prepare
from benchmarks.failure import ContenderFailed
from benchmarks.operations import INSERT, LIST, READ, UPDATE, UPSERT, Ask, Operation, user_of
from benchmarks.serving import Served, serving
from benchmarks.site import Site, parse_node, prepared_site, scratch_site, session_on
from benchmarks.streams import drain, driver

ROWS = 6000
LIMITS = (None, 5000, 1, 0)
"""Rows of the streams that are checked: all, pages and a part of one, a single row, none."""

Checks = Mapping[str, Callable[[], None]]
"""By what is checked; each raises ContenderFailed."""

_FETCH_SIZE = 2000
_COUNT = 20
_SHOWN = 500


def check(served: Served, site: Site, operation: Operation, count: int) -> None:
    """Raise ContenderFailed unless `count` answers, evenly chosen from all there are, are right.

    What was written is there afterwards, so an operation that writes takes a scratch site, which `served` was started
    with.
    """
    asks = operation.asks(site)
    asked = asks[:: max(1, len(asks) // count)][:count]
    for ask in asked:
        status, body = _answer(served, ask)
        if status != operation.status or not operation.right(site, ask, body):
            raise ContenderFailed(f"{served.contender.name} answers {ask} with {status} {body[:_SHOWN]!r}")
        if operation in (INSERT, UPDATE):
            _check_kept(served, ask, body)
    if operation is UPSERT and served.contender.database:
        _check_animals(served, site, asked)


def check_stream(served: Served, limit: int | None, expected: Body) -> None:
    """Raise ContenderFailed unless a stream of the first `limit` users, or all, has the size and CRC-32 expected."""
    path = f"/users/stream?fetch_size={_FETCH_SIZE}" + ("" if limit is None else f"&limit={limit}")
    found = drain(served, path, "--checked")
    if (found.bytes, found.crc) != (expected.bytes, expected.crc):
        raise ContenderFailed(f"{served.contender.name} streams {path} as {found}, not {expected}")


def expected_streams(site: Site) -> dict[int | None, Body]:
    """What streams of `LIMITS` rows must be, as the plain driver reads them. Raises ContenderFailed."""
    with driver(site) as plain:
        return {limit: plain.expect(("json",), limit)["json"] for limit in LIMITS}


def _answer(served: Served, ask: Ask) -> tuple[int, bytes]:
    try:
        return served.send(ask)
    except (OSError, HTTPException) as error:
        raise ContenderFailed(f"{served.contender.name} does not answer {ask}: {error!r}") from error


def _check_kept(served: Served, ask: Ask, body: bytes) -> None:
    """A GET of the user that was answered must answer the same bytes."""
    user = user_of(body)
    assert user is not None
    later = _answer(served, Ask("GET", f"/users/{user.id}"))
    if later != (200, body):
        raise ContenderFailed(f"{served.contender.name} answers {ask} with {body!r}, and a GET after it with {later}")


def _check_animals(served: Served, site: Site, asked: Sequence[Ask]) -> None:
    """The driver must find each animal as it was sent."""
    with session_on(site.node) as session:
        select = session.prepare(Queries(site.keyspace, ANIMALS).row.cql)
        for ask in asked:
            sent = msgspec.json.decode(ask.body)
            row = session.execute(select, (sent["genus"], sent["species"])).one()
            if row is None or dict(zip(ANIMALS.column_names, row, strict=True)) != sent:
                raise ContenderFailed(f"{served.contender.name} answers {ask}, and the row is {row}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check every contender on every operation, a line each: 0 when all is right."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checks", description="Checks what contenders answer.")
    parser.add_argument("--node", type=parse_node, metavar="HOST:PORT", help="a running Cassandra; else one is booted")
    options = parser.parse_args(arguments)
    try:
        prepare(CONTENDERS)
        with prepared_site(options.node, ROWS) as site, scratch_site(site) as scratch:
            expected = expected_streams(site)
            wrong = [contender.name for contender in CONTENDERS if not _all_right(contender, site, scratch, expected)]
            wrong += [] if _is_right(CHUNK_A_ROW, site, partial(_reads, site, expected)) else [CHUNK_A_ROW.name]
    except ContenderFailed as error:
        print(f"benchmarks.checks: {error}", file=sys.stderr)
        return 1
    return 1 if wrong else 0


def _all_right(contender: Contender, site: Site, scratch: Site, expected: dict[int | None, Body]) -> bool:
    reads = _is_right(contender, site, partial(_reads, site, expected))
    return _is_right(contender, scratch, partial(_writes, scratch)) and reads


def _is_right(contender: Contender, site: Site, checks: Callable[[Served], Checks]) -> bool:
    try:
        with serving(contender, site) as served:
            return _all_told(contender, checks(served))
    except ContenderFailed as error:
        print(error, flush=True)
        return False


def _reads(site: Site, expected: dict[int | None, Body], served: Served) -> Checks:
    rows = {each.name: partial(check, served, site, each, _COUNT) for each in (READ, LIST)}
    streams = {
        f"stream of {'all' if limit is None else limit}": partial(check_stream, served, limit, body)
        for limit, body in expected.items()
    }
    return {**rows, **streams}


def _writes(site: Site, served: Served) -> Checks:
    return {each.name: partial(check, served, site, each, _COUNT) for each in (INSERT, UPSERT, UPDATE)}


def _all_told(contender: Contender, checks: Checks) -> bool:
    """Every check is made and told of, whatever those before it found."""
    return not [name for name, checking in checks.items() if not _told(contender, name, checking)]


def _told(contender: Contender, what: str, checking: Callable[[], None]) -> bool:
    """Say on a line whether the check passes, and tell it."""
    try:
        checking()
    except ContenderFailed as error:
        print(f"{contender.name}: {what}: {error}", flush=True)
        return False
    print(f"{contender.name}: {what}: right", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
