"""Endpoints of the tables `animals` and `plants`: read a row, stream a partition, upsert a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from starlette.requests import Request

from asgi_app.errors import FieldError
from asgi_app.http.context import database_of, deadline_of, queries_of
from asgi_app.http.paths import location, path_segment
from asgi_app.http.requests import LONGEST_KEY, json_body, key_fits, path_key
from asgi_app.http.responses import JsonResponse, json_response
from asgi_app.http.validation import BodyDecoder, nul_errors
from asgi_app.stream import RowStream, stream_rows
from asgi_app.tables.builtin import ANIMALS, PLANTS
from asgi_app.tables.table import Table

FETCH_SIZE = 1000
"""Rows per page of a streamed partition."""

LARGEST_FLOAT = 3.4028234663852886e38
"""The largest finite value of CQL's 32-bit float (IEEE 754 binary32)."""

Key = Annotated[str, msgspec.Meta(min_length=1, description="must be a string that is not empty")]
Int = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1, description="must be an integer of 32 bits")]
Float = Annotated[
    float, msgspec.Meta(ge=-LARGEST_FLOAT, le=LARGEST_FLOAT, description="must be a number that fits in 32 bits")
]


class AnimalFields(msgspec.Struct, forbid_unknown_fields=True):
    """The request body of POST /animal: every column of the table, in the table's order."""

    genus: Key
    species: Key
    image_url: str
    size_cm: Float
    sightings: Int
    taxonomy: list[str]


def _text_errors(animal: AnimalFields) -> Iterator[FieldError]:
    """Yield an error for each key that is too long for Cassandra and each text that holds U+0000."""
    for name in ANIMALS.primary_key:
        if not key_fits(getattr(animal, name)):
            yield FieldError(f"/{name}", f"must have at most {LONGEST_KEY} bytes of UTF-8")
    yield from nul_errors(animal)


animal_fields = BodyDecoder(AnimalFields, _text_errors)


async def write_animal(request: Request) -> JsonResponse:
    """Answer POST /animal with 201 after an upsert: like CQL's INSERT, it overwrites an existing row."""
    animal = animal_fields.decode(await json_body(request))
    statement = queries_of(request, ANIMALS).insert
    # Built before the write: once the row is written, nothing may fail.
    path = location(request, f"/animal/{path_segment(animal.genus)}/{path_segment(animal.species)}")
    await database_of(request).execute(statement, msgspec.structs.astuple(animal), deadline=deadline_of(request))
    return json_response({"inserted": True}, 201, {"Location": path})


async def stream_animals(request: Request) -> RowStream:
    """Answer GET /animal/{genus} with a stream of the partition's rows, by default as a JSON array."""
    return _stream_partition(request, ANIMALS)


async def stream_plants(request: Request) -> RowStream:
    """Answer GET /plant/{genus} with a stream of the partition's rows, by default as a JSON array."""
    return _stream_partition(request, PLANTS)


def _stream_partition(request: Request, table: Table) -> RowStream:
    """Return a stream of the rows of the partition that the path names."""
    statement = queries_of(request, table).partition
    values = (path_key(request, "genus"),)
    return stream_rows(request, statement, values, fetch_size=FETCH_SIZE)
