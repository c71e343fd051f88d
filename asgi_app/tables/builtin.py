"""The three tables of the built-in application. A struct describes the columns of each."""

from __future__ import annotations

import datetime
import uuid
from typing import Annotated

import msgspec

from asgi_app.tables.table import CQLType, Index, Table


class User(msgspec.Struct):
    """A row of `users`."""

    id: uuid.UUID
    name: str | None
    email: str | None
    age: Annotated[int | None, Index()]
    created_at: datetime.datetime | None
    updated_at: datetime.datetime | None


class Animal(msgspec.Struct):
    """A row of `animals`."""

    genus: str
    species: str
    image_url: str | None
    size_cm: Annotated[float | None, CQLType("float")]
    sightings: int | None
    taxonomy: list[str] | None


class Plant(msgspec.Struct):
    """A row of `plants`."""

    genus: str
    species: str
    sightings: int | None


USERS = Table.from_struct(User, "users", partition_key=("id",))
ANIMALS = Table.from_struct(Animal, "animals", partition_key=("genus",), clustering_columns=("species",))
PLANTS = Table.from_struct(Plant, "plants", partition_key=("genus",), clustering_columns=("species",))

TABLES = (USERS, ANIMALS, PLANTS)
