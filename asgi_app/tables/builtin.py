"""The three tables of the built-in application. A struct describes the columns of each."""

from __future__ import annotations

import datetime
import uuid
from typing import Annotated

import msgspec

from asgi_app.tables.resource import Resource
from asgi_app.tables.table import CQLType, Index


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


USER_RESOURCE = Resource(
    User,
    "users",
    partition_key=("id",),
    generated={"id": uuid.uuid4},
    read_only=("created_at", "updated_at"),
    allow_filtering=("age",),
    writes="conditional",
    batch="logged",
)
ANIMAL_RESOURCE = Resource(Animal, "animals", partition_key=("genus",), clustering=("species",))
PLANT_RESOURCE = Resource(Plant, "plants", partition_key=("genus",), clustering=("species",), writes="none")

RESOURCES = (USER_RESOURCE, ANIMAL_RESOURCE, PLANT_RESOURCE)

USERS, ANIMALS, PLANTS = (resource.table for resource in RESOURCES)

TABLES = (USERS, ANIMALS, PLANTS)
