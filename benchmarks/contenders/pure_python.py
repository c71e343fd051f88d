"""The service without its compiled transcoder, as it is where no compiler was at hand."""

from __future__ import annotations

from asgi_app import transcoding
from asgi_app.app import app

__all__ = ["app"]

transcoding.transcode = None
