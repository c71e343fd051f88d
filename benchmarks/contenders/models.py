"""The pydantic models of both FastAPI contenders. Needs pydantic."""

from __future__ import annotations

import uuid
from datetime import datetime

from pydantic import BaseModel

from benchmarks.contenders.times import time_text


class User(BaseModel):
    """A user as answered."""

    id: str
    name: str
    email: str
    age: int
    created_at: str
    updated_at: str


class UserCreate(BaseModel):
    """What is sent to create one."""

    name: str
    email: str
    age: int


class UserUpdate(BaseModel):
    """What is sent to change one."""

    name: str | None = None
    email: str | None = None
    age: int | None = None


class Animal(BaseModel):
    """What is sent to write an animal."""

    genus: str
    species: str
    image_url: str
    size_cm: float
    sightings: int
    taxonomy: list[str]


def user_of(user_id: uuid.UUID, name: str, email: str, age: int, created_at: datetime, updated_at: datetime) -> User:
    """A row, its columns in the table's order, as answered."""
    return User(
        id=str(user_id),
        name=name,
        email=email,
        age=age,
        created_at=time_text(created_at),
        updated_at=time_text(updated_at),
    )
