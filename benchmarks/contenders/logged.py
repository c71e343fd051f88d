"""The service with the log that `asgi-cassandra serve` writes, on standard error."""

from __future__ import annotations

import logging.config

from asgi_app.app import app
from asgi_app.cli.server import log_config

__all__ = ["app"]

logging.config.dictConfig(log_config("info", "console"))
