"""The result of a statement."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from asgi_app.driver.page import JSON_OBJECTS, RowPage
from asgi_app.driver.typed_rows import typed_rows

T = TypeVar("T", bound=msgspec.Struct)


class Result(msgspec.Struct, frozen=True, gc=False):
    """The result of a statement: a page of rows, None if it returns no rows, and the state that asks for the next page.

    `paging_state` is None on the last page only. A page without rows is not always the last.
    """

    page: RowPage | None
    paging_state: bytes | None

    def dicts(self) -> list[dict[str, Any]]:
        """Return the page's rows, each a dict from column name to value."""
        return self.page.dicts() if self.page else []

    def rows(self, row: type[T]) -> list[T]:
        """Return the page's rows as instances of a msgspec struct, by the names of its fields.

        A field has the Python type of its column: `uuid.UUID`, `datetime.datetime`, `bytes`. Columns without a field
        are left out. Raises msgspec.ValidationError if a value does not fit its field, such as null in one that is not
        optional.
        """
        return typed_rows(self.dicts(), self.page.description, row) if self.page else []

    def json_rows(self) -> bytes:
        """Return the page's rows as JSON objects with commas between them: the inside of an array."""
        return self.page.encoded(JSON_OBJECTS) if self.page else b""

    @property
    def row_count(self) -> int:
        """The number of rows on the page."""
        return self.page.row_count if self.page else 0

    @property
    def applied(self) -> bool:
        """Whether a lightweight transaction's condition held; true for every other statement."""
        rows = self.dicts() if self.page and "[applied]" in self.page.column_names else []
        return bool(rows[0]["[applied]"]) if rows else True
