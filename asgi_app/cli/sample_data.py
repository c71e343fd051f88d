"""Write sample rows: five animals, 88 plantains, and the requested number of users; the same rows every time.

All rows have the same write timestamp, which lies in the past. Later changes are newer and win, so a second run changes
nothing: changed rows stay changed, and deleted rows stay deleted for as long as Cassandra keeps their tombstones
(`gc_grace_seconds`, ten days).
"""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from asgi_app.cli.console import counted
from asgi_app.driver.bulk_writes import write_rows
from asgi_app.tables.builtin import ANIMALS, PLANTS, USERS, Animal, Plant, User
from asgi_app.tables.cql import Queries
from asgi_app.tables.table import Table

Row = tuple[Any, ...]

WRITTEN_AT = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
WRITE_TIMESTAMP = int(WRITTEN_AT.timestamp()) * 1_000_000
"""The same time as Cassandra's write timestamp, in microseconds."""

SAMPLE_ANIMALS = (
    Animal(
        genus="Panthera",
        species="tigris",
        image_url="https://example.org/images/panthera-tigris.jpg",
        size_cm=290.0,
        sightings=41,
        taxonomy=["Animalia", "Chordata", "Mammalia", "Carnivora", "Felidae"],
    ),
    Animal(
        genus="Panthera",
        species="uncia",
        image_url="https://example.org/images/panthera-uncia.jpg",
        size_cm=125.0,
        sightings=7,
        taxonomy=["Animalia", "Chordata", "Mammalia", "Carnivora", "Felidae"],
    ),
    Animal(
        genus="Saitis",
        species="barbipes",
        image_url="https://example.org/images/saitis-barbipes.jpg",
        size_cm=0.6,
        sightings=4,
        taxonomy=["Animalia", "Arthropoda", "Arachnida", "Araneae", "Salticidae"],
    ),
    Animal(
        genus="Vanessa",
        species="atalanta",
        image_url="https://example.org/images/vanessa-atalanta.jpg",
        size_cm=4.8,
        sightings=43,
        taxonomy=["Animalia", "Arthropoda", "Insecta", "Lepidoptera", "Nymphalidae"],
    ),
    Animal(
        genus="Vanessa",
        species="cardui",
        image_url="https://example.org/images/vanessa-cardui.jpg",
        size_cm=5.5,
        sightings=12,
        taxonomy=["Animalia", "Arthropoda", "Insecta", "Lepidoptera", "Nymphalidae"],
    ),
)

_PLANTAINS = (
    "afra albicans algarbiensis alpina altissima amplexicaulis arborescens arenaria argentea aristata asiatica "
    "atrata aucklandica australis barbata bellardii bigelovii camtschatica canescens coronopus crassifolia cretica "
    "crypsoides cynops debilis depressa elongata erecta eriopoda erosa euphratica fernandezia firma gentianoides "
    "glabrifolia glacialis grayana hakusanensis hawaiensis helleri heterophylla hispida holosteum hookeriana indica "
    "krajinae lagopus lanceolata lanigera leiopetala limensis linearis loeflingii longissima macrocarpa maderensis "
    "major maritima media melanochrous moorei myosuros nivalis notata nubicola obconica ovata pachyphylla palmata "
    "patagonica princeps pusilla raoulii rapensis reniformis rhodosperma rigida robusta rugelii sempervirens "
    "serraria sparsiflora spathulata subnuda tenuiflora tomentosa triandra virginica"
)

SAMPLE_PLANTS = tuple(
    Plant("Plantago", species, 3 + place * 37 % 500) for place, species in enumerate(_PLANTAINS.split())
)

_FIRST_NAMES = (
    "Ada Amal Bruno Chiara Dmitri Elif Fatima Grace Hiroshi Ines Jonas Kavya Lena Malik Noor Olga Pedro Quinn Rosa "
    "Sven Tomas Uma Viktor Wanjiru Xenia Yusuf Zofia"
)
_LAST_NAMES = (
    "Abe Baker Castro Dubois Eriksen Fischer Garcia Haddad Ivanova Jansen Kim Lovelace Moreau Nakamura Okafor Petrov "
    "Quispe Rossi Santos Tanaka Usman Varga Weber Xu Yilmaz Zielinska"
)

_NAMES = tuple((first, last) for last in _LAST_NAMES.split() for first in _FIRST_NAMES.split())

_USER_NAMESPACE = uuid.UUID("8f0c3f0e-6f0a-5a0e-9f65-0d5c2f1f8f5b")
_LAST_AGE = 100
_YEAR_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class SeedReport:
    """How many rows were written or already there, and how many seconds that took."""

    rows: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """The average over the whole run."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def sentence(self) -> str:
        """The report for people: `1,093 rows in 0.1 s, 9,301 rows/s`."""
        return f"{counted(self.rows, 'row')} in {self.seconds:.1f} s, {self.rows_per_second:,.0f} rows/s"


def row_count(users: int) -> int:
    """Return how many rows `seed` writes for `users` users."""
    return len(SAMPLE_ANIMALS) + len(SAMPLE_PLANTS) + users


def seed(session: Any, keyspace: str, users: int, on_progress: Callable[[int], None]) -> SeedReport:
    """Write the sample rows and the first `users` generated users through a driver session.

    The tables must exist. `on_progress` is called with the number of rows so far. Memory does not grow with `users`.
    Raises the driver's errors; rows written by then stay, and the next run writes the rest.
    """
    began = time.monotonic()
    _write_missing_animals(session, keyspace)
    done = len(SAMPLE_ANIMALS)
    for table, rows in _plants_and_users(users):
        cql = Queries(keyspace, table).insert_at.cql
        done += write_rows(session, cql, rows, _counting_from(done, on_progress))
    return SeedReport(done, time.monotonic() - began)


def sample_user(index: int) -> User:
    """Return the generated user with this number; always the same one."""
    first, last = _NAMES[index % len(_NAMES)]
    created = WRITTEN_AT + datetime.timedelta(seconds=index % _YEAR_SECONDS)
    return User(
        id=uuid.uuid5(_USER_NAMESPACE, str(index)),
        name=f"{first} {last}",
        email=f"{first}.{last}.{index}@example.org".lower(),
        age=index * 7 % (_LAST_AGE + 1),
        created_at=created,
        updated_at=created,
    )


def _write_missing_animals(session: Any, keyspace: str) -> None:
    """Write the animals that do not exist.

    Never write one twice: Cassandra appends to a list that is written again with the same timestamp.
    """
    queries = Queries(keyspace, ANIMALS)
    row, insert = session.prepare(queries.row.cql), session.prepare(queries.insert_at.cql)
    for animal in SAMPLE_ANIMALS:
        if session.execute(row, (animal.genus, animal.species)).one() is None:
            session.execute(insert, _insertable(animal))


def _plants_and_users(users: int) -> Iterator[tuple[Table, Iterator[Row]]]:
    yield PLANTS, map(_insertable, SAMPLE_PLANTS)
    yield USERS, map(_insertable, map(sample_user, range(users)))


def _insertable(row: Animal | Plant | User) -> Row:
    """Return the values of an `insert_at` statement: those of the row, then the write timestamp."""
    return (*msgspec.structs.astuple(row), WRITE_TIMESTAMP)


def _counting_from(start: int, on_progress: Callable[[int], None]) -> Callable[[int], None]:
    return lambda rows: on_progress(start + rows)
