"""CSV that the service writes is read back as it was: null, empty text, quotes and line ends."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_app.http.formats import CSV_RECORDS
from asgi_app.transfer.csv_records import fields_of, records_of
from asgi_app.transfer.outcomes import Failed


class _Rows:
    """Rows as a page gives them to an encoding."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows

    def tuples(self) -> list[tuple[Any, ...]]:
        return self._rows

    def objects(self) -> list[Any]:
        raise AssertionError("CSV takes tuples")


def records(text: bytes) -> list[tuple[int, list[str | None]]]:
    return [(line, fields_of(record)) for line, record in records_of(io.BytesIO(text))]


FIELD = st.none() | st.text(st.sampled_from(['"', ",", "\n", "\r", " ", "a", "é", "\u2028"]), max_size=6)


@given(st.lists(st.tuples(FIELD, FIELD, FIELD), max_size=5))
def test_records_that_the_service_writes(rows: list[tuple[Any, ...]]) -> None:
    written = CSV_RECORDS.write(_Rows(rows))
    assert [fields for _, fields in records(written)] == [list(row) for row in rows]


@given(st.lists(st.lists(st.text(max_size=5), min_size=2, max_size=2), max_size=5))
def test_records_that_python_writes(rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    assert [fields for _, fields in records(text.getvalue().encode())] == rows


def test_lines_are_counted_and_empty_ones_left_out() -> None:
    text = b'\xef\xbb\xbfa,b\n\n"1\n2",\r\nx,"y""z"'
    assert records(text) == [(1, ["a", "b"]), (3, ["1\n2", None]), (5, ["x", 'y"z'])]


@pytest.mark.parametrize("record", [b'a"b,c', b'"a"b,c', b"\xff,a"])
def test_records_that_are_not_csv(record: bytes) -> None:
    with pytest.raises(ValueError, match=r"quote within|utf-8"):
        fields_of(record)


def test_a_quote_that_does_not_end() -> None:
    with pytest.raises(Failed, match="quote in line 2 does not end"):
        records(b'a,b\n"c,d\n')
