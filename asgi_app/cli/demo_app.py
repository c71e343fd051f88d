"""The application that `demo` serves: the built-in tables, and `sightings` as a declared resource."""

from __future__ import annotations

from asgi_app.app import create_app
from asgi_app.cli.sightings import SIGHTINGS

app = create_app(resources=[SIGHTINGS], examples=True, diagnostics=True, owns_process=True)
