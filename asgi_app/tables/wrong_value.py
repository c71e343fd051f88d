"""The error for a value that is not one of its column's CQL type."""

from __future__ import annotations

from collections.abc import Sequence

from asgi_app.errors import FieldError

MOST_ERRORS = 100
"""No more errors of one value are collected: a client that sent a million wrong elements needs no million sentences."""


class WrongValue(ValueError):
    """A value that has no encoding in its CQL type.

    `errors` has at least one entry, and at most `MOST_ERRORS`. The `field` of each is a JSON pointer into the value:
    `""` is the value itself, `/3` its fourth element. `pointer` and `message` are those of the first.
    """

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.errors: tuple[FieldError, ...] = (FieldError(pointer, message),)

    @classmethod
    def of(cls, errors: Sequence[FieldError]) -> WrongValue:
        """Return one error that has all of `errors`, at least one."""
        error = cls(errors[0].field, errors[0].message)
        error.errors = tuple(errors[:MOST_ERRORS])
        return error

    @property
    def pointer(self) -> str:
        """The JSON pointer of the first error, relative to the value."""
        return self.errors[0].field

    @property
    def message(self) -> str:
        """The predicate of the first error: `must be an integer from -128 to 127`."""
        return self.errors[0].message
