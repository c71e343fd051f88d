"""Exports and imports in this process, and all rows of a table to compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asgi_app.db import Database
from asgi_app.driver.page import JSON_LINES
from asgi_app.runtime.deadline import Deadline
from asgi_app.tables.cql import Statement
from asgi_app.transfer.export_plan import ExportOptions
from asgi_app.transfer.exporting import export_to_folder
from asgi_app.transfer.import_plan import ImportOptions
from asgi_app.transfer.importing import import_from
from asgi_app.transfer.manifest import Manifest
from asgi_app.transfer.progress import Progress
from asgi_app.transfer.rejects import Rejects


async def cql(database: Database, text: str, values: Sequence[Any] = ()) -> Any:
    """Run a statement, and return its result."""
    writes = not text.startswith("SELECT")
    statement = Statement(text, idempotent=True, writes=writes)
    return await database.execute(statement, values, deadline=Deadline.after(60), fetch_size=100_000)


async def rows_of(database: Database, table: str) -> list[bytes]:
    """Return every row of a table as a line of JSON, sorted."""
    result = await cql(database, f"SELECT * FROM {table}")
    return sorted(result.page.encoded(JSON_LINES).splitlines())


async def exported(
    database: Database, table: str, folder: Path, said: list[str] | None = None, **options: Any
) -> Manifest:
    """Export a table into a folder."""
    say = [].append if said is None else said.append
    return await export_to_folder(database, table, folder, ExportOptions(**options), Progress(), say)


async def imported(database: Database, table: str, path: Path, **options: Any) -> tuple[Progress, Rejects]:
    """Import files into a table."""
    progress = Progress()
    rejects = await import_from(database, table, path, ImportOptions(**options), progress, [].append)
    return progress, rejects
