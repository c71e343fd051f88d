"""The header fields that every answer carries, whatever answers."""

from __future__ import annotations

from asgi_app.settings import Settings

RawHeaders = tuple[tuple[bytes, bytes], ...]

_CHEAP: RawHeaders = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)


def security_headers(settings: Settings) -> RawHeaders:
    """Those the settings ask for, as ASGI has them; made once, when the application starts."""
    headers = _CHEAP if settings.security_headers else ()
    if settings.hsts_seconds:
        headers += ((b"strict-transport-security", f"max-age={settings.hsts_seconds}".encode()),)
    return headers
