"""A parent application's own driver session, used as this service needs it and left as it was found."""

from __future__ import annotations

from copy import copy
from typing import Any, TypeAlias

from asgi_app.driver.cluster import Observer, execution_changes
from asgi_app.driver.installed_driver import cluster
from asgi_app.driver.protocol import RawProtocolHandler, keep_page
from asgi_app.settings import Settings

SessionSource: TypeAlias = Any
"""A session of the driver's, or a function without parameters that returns one when the application starts."""


def borrow(source: SessionSource, settings: Settings, observer: Observer) -> BorrowedSession:
    """The session that a parent hands over; `observer` is told of retries.

    Raises TypeError where it is none of the driver's: wrappers of other packages are not.
    """
    session = source() if callable(source) else source
    if not isinstance(session, cluster.Session):
        raise TypeError(f"session must be a cassandra.cluster.Session, not {type(session).__qualname__}")
    return BorrowedSession(session, settings, observer)


class BorrowedSession:
    """A session on the pools and the cluster of the one it was made from, which notices nothing of it.

    Rows are kept as the service decodes them, and statements carry its consistency levels, its retries and its
    deadlines. Which nodes are asked is for the cluster's own policy. Every other attribute is the lent session's.
    """

    def __init__(self, session: Any, settings: Settings, observer: Observer) -> None:
        self._session = session
        self._changes = execution_changes(settings, keep_page, observer)
        self._profile = session.execution_profile_clone_update(cluster.EXEC_PROFILE_DEFAULT, **self._changes)
        self._view = copy(session)  # shallow: the same pools, with a protocol handler and defaults of its own
        self._view.client_protocol_handler = RawProtocolHandler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def execute_async(self, query: Any, *, timeout: float, paging_state: bytes | None = None) -> Any:
        """As the driver's session does."""
        if self._session.cluster._config_mode == cluster._ConfigMode.LEGACY:
            return self._execute_without_profile(query, timeout, paging_state)
        return self._view.execute_async(
            query, timeout=timeout, execution_profile=self._profile, paging_state=paging_state
        )

    def _execute_without_profile(self, query: Any, timeout: float, paging_state: bytes | None) -> Any:
        """A cluster, once its owner gave it or one of its sessions a setting of its own, takes no profiles any more."""
        self._view.row_factory = self._changes["row_factory"]
        for name in ("consistency_level", "serial_consistency_level", "retry_policy"):
            setattr(query, name, self._changes[name])
        return self._view.execute_async(query, timeout=timeout, paging_state=paging_state)
