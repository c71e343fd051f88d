"""Whether a client gets gzip, by its Accept-Encoding."""

from __future__ import annotations

import pytest

from asgi_app.stream import accepts_gzip


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("gzip;q=0.1, identity", False),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("gzip;q=nonsense", True),
        ("br", False),
        ("*", False),
    ],
)
def test_gzip_needs_to_be_named_and_preferred(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted
