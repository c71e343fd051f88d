"""Write the demo's large table while the demo serves, so that nobody waits for it."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from asgi_app.cli import server
from asgi_app.cli.session import open_session
from asgi_app.cli.sightings import write_sightings
from asgi_app.settings import Settings

JOIN_SECONDS = 5
"""How long the end of the demo waits for a write that Cassandra does not answer."""


class BackgroundRows:
    """Writes `total` sightings in a thread, from `start` to the end of the block at the latest. Logs how it ended."""

    def __init__(self, settings: Settings, total: int) -> None:
        self._settings = settings
        self._total = total
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sightings", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def __enter__(self) -> BackgroundRows:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        began = time.monotonic()
        try:
            with open_session(self._settings) as session:
                rows = write_sightings(session, self._settings.keyspace, self._total, self._stopped)
        except Exception as error:  # the demo continues with the rows that are there
            server.logger.warning("not all sightings were written; the next demo writes them: %s", error)
            return
        if rows == self._total:
            server.logger.info("all %s sightings are there, after %.1f s", f"{rows:,}", time.monotonic() - began)
        elif rows:
            server.logger.info("wrote %s of %s sightings; the next demo goes on", f"{rows:,}", f"{self._total:,}")
