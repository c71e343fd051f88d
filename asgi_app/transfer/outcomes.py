"""How an export or import ends, if not well: one class for each exit code of the commands.

TransferError
├── Refused      cannot be done as it was asked for: the same command will fail again
├── Failed       failed; what was done so far does not help a later run
├── Partial      a part of it is done and kept: resume it
└── RowsRejected rows are not rows of the table, which is all that a dry run was to find out
"""

from __future__ import annotations

from asgi_app.driver.connecting import server_message
from asgi_app.errors import ServiceError


class TransferError(Exception):
    """The base of all. Its text is a sentence for the person at the command line."""


class Refused(TransferError):
    """The table, the folder, the files or the options do not allow it. Nothing was written."""


class Failed(TransferError):
    """It failed."""


class Partial(TransferError):
    """It ended before it was whole. What is whole is kept, and a run that resumes does the rest."""


class RowsRejected(TransferError):
    """Rows are not rows of the table. The file of rejected rows has them."""


def reason_of(error: ServiceError) -> str:
    """Return the sentence of a failed statement, with what Cassandra itself says, which only operators may read."""
    cause = error.__cause__
    said = server_message(cause) if isinstance(cause, Exception) else ""
    if not said or said == str(cause):  # there is no message of the server's
        return error.detail
    return f"{error.detail} Cassandra says: {said.rstrip('.')}."
