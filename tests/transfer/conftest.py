"""Fixtures: a database for the tests of a module, and folders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from asgi_app.db import Database
from asgi_app.settings import Settings


@pytest.fixture(scope="module")
async def database(anyio_backend: Any, settings: Settings) -> AsyncIterator[Database]:
    """A connected database; its keyspace is that of the run."""
    async with Database.open(settings) as database:
        yield database
