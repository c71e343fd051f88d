"""CSV: null, empty texts, quoting and collections."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_app.http.formats import CSV_RECORDS


def test_csv_is_read_back_by_a_csv_reader() -> None:
    values = ("a,b", 'say "hi"', "line\r\nbreak", None, True, 0.1, [1, "x"], {"k": None})
    page = SimpleNamespace(tuples=lambda: [values])
    (row,) = csv.reader(io.StringIO(CSV_RECORDS.write(page).decode(), newline=""))  # type: ignore[arg-type]
    assert row == ["a,b", 'say "hi"', "line\r\nbreak", "", "true", "0.1", '[1,"x"]', '{"k":null}']


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ((None, ""), b',""\r\n'),
        (("", None), b'"",\r\n'),
        (("", ""), b'"",""\r\n'),
        ((None, None), b",\r\n"),
        ((None,), b'""\r\n'),  # readers skip an empty line
        (("",), b'""\r\n'),
        (([], {}), b"[],{}\r\n"),
    ],
)
def test_csv_distinguishes_null_from_an_empty_text(row: Sequence[Any], line: bytes) -> None:
    assert CSV_RECORDS.write(SimpleNamespace(tuples=lambda: [row])) == line  # type: ignore[arg-type]


@given(st.lists(st.none() | st.text(min_size=1) | st.integers() | st.floats(allow_nan=False), min_size=2))
def test_csv_writes_other_values_as_python_does(row: list[Any]) -> None:
    expected = io.StringIO()
    csv.writer(expected, lineterminator="\r\n").writerow(row)
    assert CSV_RECORDS.write(SimpleNamespace(tuples=lambda: [row])) == expected.getvalue().encode()  # type: ignore[arg-type]
