"""The tables that are read as a whole: users, one row a partition, and sightings, a thousand rows a partition."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from asgi_app.cli.sightings import SIGHTINGS, Sighting, sample_sighting
from asgi_app.tables.ddl import create_schema
from benchmarks.site import Site, session_on, write

ROWS_OF_A_PARTITION = 1000


@dataclass(frozen=True, slots=True)
class WholeTable:
    """A table: its name, what its partitions are, the address before `/stream` and `/export.…`, its partition key."""

    name: str
    partitions: str
    address: str
    key: str

    @property
    def load(self) -> str:
        """The name of the table in reports."""
        return f"{self.name}, {self.partitions}"


NARROW = WholeTable("users", "1 row a partition", "/users", "id")
WIDE = WholeTable("sightings", f"{ROWS_OF_A_PARTITION} rows a partition", "/sightings/-", "station")
WHOLE_TABLES = (NARROW, WIDE)


def fill_wide(site: Site, rows: int) -> None:
    """Create `sightings` in the keyspace of a site, without its index, and write so many rows."""
    with session_on(site.node) as session:
        create_schema(session, site.keyspace, None, (SIGHTINGS.table,))
        write(session, site.keyspace, SIGHTINGS.table, map(_sighting, range(rows)))


def _sighting(number: int) -> Sighting:
    return msgspec.structs.replace(sample_sighting(number), station=f"station {number // ROWS_OF_A_PARTITION}")
