"""Header fields as ASGI has them, and those that every answer carries."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from asgi_app.settings import Settings

RawHeaders = tuple[tuple[bytes, bytes], ...]

_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))

_CHEAP: RawHeaders = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)


def raw_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return the fields as ASGI has them. Any text can be sent, so that a write that is done is not answered 500."""
    return [(name.lower().encode("ascii"), header_text(value).encode("ascii")) for name, value in headers.items()]


def header_text(value: str) -> str:
    """Return the value; characters that may not stand in one, or mean another thing to others, are percent-encoded.

    Printable ASCII stays as it is (RFC 9110 section 5.5); a line's end would begin another field.
    """
    if value.isascii() and value.isprintable():
        return value
    return quote(value, safe=_PRINTABLE, errors="replace")


def next_page(target: str) -> str:
    """Return the value of a Link (RFC 8288) to the next page. Many clients split it at `;` and `,` anywhere."""
    return f'<{target.replace(";", "%3B").replace(",", "%2C")}>; rel="next"'


def security_headers(settings: Settings) -> RawHeaders:
    """Those the settings ask for, as ASGI has them; made once, when the application starts."""
    headers = _CHEAP if settings.security_headers else ()
    if settings.hsts_seconds:
        headers += ((b"strict-transport-security", f"max-age={settings.hsts_seconds}".encode()),)
    return headers
