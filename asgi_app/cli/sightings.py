"""The demo's large table: what observers counted at the stations of a coast, as a declared resource, and its rows."""

from __future__ import annotations

import datetime
import random
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from asgi_app.cli.sample_data import WRITE_TIMESTAMP
from asgi_app.driver.bulk_writes import write_rows
from asgi_app.tables.cql import Queries
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import Index


class Sighting(msgspec.Struct):
    """A row of `sightings`."""

    station: str
    at: datetime.datetime
    id: uuid.UUID
    species: Annotated[str, Index()]
    count: Annotated[int, msgspec.Meta(ge=1)]
    weather: set[str] | None = None
    observer: str | None = None


SIGHTINGS = Resource(
    Sighting, "sightings", partition_key=("station",), clustering=("-at", "id"), generated={"id": uuid.uuid4}
)

_ISLANDS = (
    "Amrum Baltrum Borkum Fano Fehmarn Helgoland Hiddensee Juist Langeoog Mando Neuwerk Norderney Pellworm Romo "
    "Schiermonnikoog Spiekeroog Sylt Terschelling Texel Vlieland Wangerooge"
)
STATIONS = tuple(_ISLANDS.split())

LAST_AT = datetime.datetime(2026, 6, 30, 20, tzinfo=datetime.UTC)
"""The time of the latest sighting."""

_SPECIES = (
    "Haematopus ostralegus",
    "Halichoerus grypus",
    "Larus argentatus",
    "Numenius arquata",
    "Phoca vitulina",
    "Sterna hirundo",
    "Vanessa atalanta",
    "Vanessa cardui",
)
_WEATHER = ("calm", "cloudy", "foggy", "rainy", "sunny", "windy")
_OBSERVERS = ("Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Fatima", "Grace", "Hiroshi")
_MINUTES_APART = 7

_BATCHES_IN_FLIGHT = 2
_ROWS_BEFORE_A_PAUSE = 200
_LONGEST_PAUSE = 0.5


def sample_sighting(index: int) -> Sighting:
    """Return the generated sighting with this number; always the same one. Number 0 is the latest."""
    chance = random.Random(index)  # noqa: S311 (sample data)
    return Sighting(
        station=STATIONS[index % len(STATIONS)],
        at=LAST_AT - datetime.timedelta(minutes=_MINUTES_APART * index),
        id=uuid.UUID(int=chance.getrandbits(128), version=4),
        species=chance.choice(_SPECIES),
        count=chance.randint(1, 40),
        weather=set(chance.sample(_WEATHER, 2)),
        observer=chance.choice(_OBSERVERS),
    )


def write_sightings(session: Any, keyspace: str, total: int, stopped: threading.Event) -> int:
    """Write the first `total` generated sightings, unless they are there, and return how many were written.

    The table must exist. It takes half of the time at most and pauses in the other half, so that requests are answered
    meanwhile. Ends early if `stopped` is set; the next run then writes all of them. Raises the driver's errors.
    """
    if has_sightings(session, keyspace, total):
        return 0
    cql = Queries(keyspace, SIGHTINGS.table).insert_at.cql
    rows = _values(range(total - 1), stopped)
    written = write_rows(session, cql, rows, _Pauses(stopped), in_flight=_BATCHES_IN_FLIGHT)
    if stopped.is_set():
        return written
    # The last row stands for all: it is written when the others are there, as `has_sightings` expects.
    return written + write_rows(session, cql, _values(range(total - 1, total), stopped), lambda _: None)


def has_sightings(session: Any, keyspace: str, total: int) -> bool:
    """Return whether the first `total` generated sightings are there. Raises the driver's errors."""
    if not total:
        return True
    row = sample_sighting(total - 1)
    select = session.prepare(Queries(keyspace, SIGHTINGS.table).row.cql)
    return session.execute(select, (row.station, row.at, row.id)).one() is not None


class _Pauses:
    """Progress of a write that pauses now and then, for as long as the rows since the pause before took."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._next = _ROWS_BEFORE_A_PAUSE
        self._began = time.monotonic()

    def __call__(self, rows: int) -> None:
        if rows >= self._next:
            self._stopped.wait(min(time.monotonic() - self._began, _LONGEST_PAUSE))
            self._next = rows + _ROWS_BEFORE_A_PAUSE
            self._began = time.monotonic()


def _values(indexes: range, stopped: threading.Event) -> Iterator[tuple[Any, ...]]:
    """Yield the values of an `insert_at` statement for each sighting, until `stopped` is set."""
    for index in indexes:
        if stopped.is_set():
            return
        yield (*msgspec.structs.astuple(sample_sighting(index)), WRITE_TIMESTAMP)
