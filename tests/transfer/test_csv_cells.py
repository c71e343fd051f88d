"""Fields of CSV as pandas, DuckDB and polars write them by default; see docs/export.md."""

from __future__ import annotations

import pytest

from asgi_app.tables.encoding import encoder_of
from asgi_app.tables.types import Native
from asgi_app.tables.wrong_value import WrongValue
from asgi_app.transfer.csv_cells import cell_reader


@pytest.mark.parametrize(
    ("cql_type", "text", "own"),
    [
        ("boolean", "True", "true"),
        ("boolean", "False", "false"),
        ("int", "1.0", "1"),
        ("int", "-0.0", "0"),
        ("bigint", "9007199254740991.0", "9007199254740991"),
        ("varint", "-12.00", "-12"),
        ("double", "inf", "Infinity"),
        ("float", "-inf", "-Infinity"),
        ("double", "nan", "NaN"),
        ("double", "1e+16", "10000000000000000"),
        ("timestamp", "2024-01-02 03:04:05.123000+00:00", "2024-01-02T03:04:05.123Z"),
        ("timestamp", "2024-01-02 08:34:05+05:30", "2024-01-02T03:04:05Z"),
        ("timestamp", "2024-01-02 03:04:05.1+00", "2024-01-02T03:04:05.1Z"),
        ("timestamp", "2024-01-02T03:04:05.000000+0000", "2024-01-02T03:04:05Z"),
        ("timestamp", "2024-01-02 03:04:05Z", "2024-01-02T03:04:05Z"),
        ("date", "2024-01-02 00:00:00", "2024-01-02"),
        ("date", "2024-01-02T00:00:00.000", "2024-01-02"),
        ("time", "03:04:05.000006", "03:04:05.000006000"),
        ("decimal", "1.10", "1.10"),
    ],
)
def test_forms_that_can_mean_nothing_else(cql_type: str, text: str, own: str) -> None:
    encoder = encoder_of(Native(cql_type))
    assert cell_reader(encoder)(text) == encoder.from_text(own)


@pytest.mark.parametrize(
    ("cql_type", "text"),
    [
        ("boolean", "1"),
        ("boolean", "yes"),
        ("int", "1.5"),
        ("int", "1e+2"),
        ("int", "01.0"),
        ("int", "2147483648.0"),
        ("bigint", "9007199254740992.0"),  # also what pandas makes of 9007199254740993
        ("timestamp", "2024-01-02 03:04:05"),
        ("timestamp", "2024-01-02"),
        ("timestamp", "2024-01-02 03:04:05+0"),
        ("date", "2024-01-02 03:04:05"),
        ("date", "2024-13-02 00:00:00"),
        ("blob", "b'a'"),
        ("blob", r"\x00a"),
        ("duration", "1 day 02:00:00"),
    ],
)
def test_forms_that_are_refused(cql_type: str, text: str) -> None:
    with pytest.raises(WrongValue):
        cell_reader(encoder_of(Native(cql_type)))(text)
