"""What of an import is done, in a file beside the export, so that it can be resumed."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from asgi_app.transfer.files import replace_file
from asgi_app.transfer.outcomes import Failed, Refused
from asgi_app.transfer.table_identity import Identity


class ImportState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An import of one export into one table, and the files whose rows are all written.

    `digest` names the export, `identity` is that of the `columns` that are written, and `began` the time of the cluster
    at which the first of the runs began that are one import. `runs` counts the runs of this export into this table,
    this one too.
    """

    version: Literal[1] = 1
    keyspace: str
    table: str
    columns: tuple[str, ...]
    identity: Identity
    began: datetime
    digest: str
    runs: Annotated[int, Meta(ge=1)] = 1
    files: tuple[str, ...] = ()


def load(path: Path) -> ImportState | None:
    """Return the state that a file has, None if there is no file. Raises Failed if it is none, and OSError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ImportState)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failed(f"{path} is not the state of an import: {error}. Remove it to begin again.") from error


def save(path: Path, state: ImportState) -> None:
    """Replace the file. Raises OSError."""
    replace_file(path, msgspec.json.encode(state) + b"\n")


def again(path: Path, begun: ImportState) -> ImportState:
    """Return the state of a run that begins again, and still counts the runs before it. Raises as `load`."""
    found = load(path)
    same_table = found is not None and found.identity.id == begun.identity.id
    return msgspec.structs.replace(begun, runs=found.runs + 1) if found is not None and same_table else begun


def resumed(path: Path, begun: ImportState) -> ImportState:
    """Return the state with which a run resumes: that of the file, or `begun` if there is none.

    Raises Refused if the file is about another import, Failed and OSError as `load`.
    """
    found = load(path)
    if found is None:
        return begun
    if found.digest != begun.digest:
        raise Refused(f"{path} is about the import of another export. Remove it to begin again.")
    if (found.keyspace, found.table) != (begun.keyspace, begun.table):
        raise Refused(
            f"{path} is about an import into {found.keyspace}.{found.table}. Name another file with --state for this "
            "one."
        )
    if sorted(found.columns) != sorted(begun.columns):
        raise Refused(
            f"{path} is about an import of the columns {', '.join(found.columns)}. Name the same with --select, or "
            "remove it to begin again."
        )
    return msgspec.structs.replace(found, runs=found.runs + 1)
