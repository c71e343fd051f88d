"""The service without its compiled transcoder, as it is where no compiler was at hand."""

from __future__ import annotations

from asgi_app.app import app
from asgi_app.driver import transcoding

__all__ = ["app"]

transcoding.transcode = None
