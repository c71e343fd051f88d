"""The service with the demo's large table beside the built-in ones."""

from __future__ import annotations

from asgi_app.app import create_app
from asgi_app.cli.sightings import SIGHTINGS

app = create_app(resources=[SIGHTINGS], examples=True, owns_process=True)
