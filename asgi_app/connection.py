"""One driver session: a parent's, or one connected in the background for as long as it takes and closed inside out."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from asgi_app import transcoding
from asgi_app.borrowed import BorrowedSession
from asgi_app.bridge import Bridge
from asgi_app.calls import LentSender, OwnSender, Sender
from asgi_app.cluster import ClusterConfigError, build_cluster
from asgi_app.errors import NotConnected, ShuttingDown
from asgi_app.metrics import Metrics, NodeState
from asgi_app.owner import Owner
from asgi_app.reactor import connection_class_for
from asgi_app.rows import RawProtocolHandler, keep_page
from asgi_app.settings import Settings

logger = logging.getLogger("asgi_app.db")

FIRST_RETRY = 0.25
LONGEST_RETRY = 1.0
"""Seconds between attempts to connect: short, since readiness is promised within two seconds of Cassandra's return."""


class Connection:
    """Connects and closes in worker threads of the bridge.

    With a session that was `lent` there is nothing to connect, and nothing is closed: that is for its owner.
    """

    def __init__(
        self,
        settings: Settings,
        bridge: Bridge,
        metrics: Metrics,
        owner: Owner,
        lent: BorrowedSession | None = None,
    ) -> None:
        self._settings = settings
        self._bridge = bridge
        self._metrics = metrics
        self._lent = lent
        self._session: Any = lent
        self._sender: Sender | None = None if lent is None else LentSender(lent)
        self._owner = owner
        self._closed = False

    @property
    def session(self) -> Any:
        """Return the driver's session, in any thread.

        Raise NotConnected if there is none yet, ShuttingDown if it was closed, and OpenedBeforeFork in a process that
        was forked from the one that opened it: the threads that would read its connections are not in this one.
        """
        self._owner.check_process()
        if self._closed:
            raise ShuttingDown("The database was closed.")
        if self._session is None:
            raise NotConnected
        return self._session

    @property
    def sender(self) -> Sender:
        """Return what sends statements on the session; raise as `session` does."""
        return self._sender or LentSender(self.session)

    def nodes(self) -> dict[str, NodeState]:
        """The nodes that the driver knows, by address; none while there is no session."""
        if self._session is None:
            return {}
        pools = self._session.get_pool_state()
        return {
            str(node.endpoint): _state_of(node, pools.get(node)) for node in self._session.cluster.metadata.all_hosts()
        }

    async def connect(self, *, task_status: TaskStatus[None]) -> None:
        """Try until it works; report started after the first attempt, whatever came of it.

        Raises ClusterConfigError where the settings cannot make a cluster, whatever Cassandra does. Cancelling takes
        effect after the attempt under way, which `CASSANDRA_CONNECTION_TIMEOUT` bounds for each host.
        """
        pause = FIRST_RETRY
        while self._session is None and not await self._attempt():
            task_status.started()
            task_status = anyio.TASK_STATUS_IGNORED
            await anyio.sleep(pause)
            pause = min(pause * 2, LONGEST_RETRY)
        task_status.started()

    async def close(self) -> None:
        """Close the session, then its cluster. Calls still under way end with an error of the driver's.

        Does nothing in a forked process: the session is the other's.
        """
        self._closed = True
        if self._session is not None and not self._owner.is_gone:
            session, self._session, self._sender = self._session, None, None
            if session is not self._lent:
                await self._bridge.run(_close, session)

    async def _attempt(self) -> bool:
        own = own_connection_class()
        try:
            self._session = await self._bridge.run(_open, self._settings, self._metrics, own)
            self._sender = OwnSender(self._session)
            self._bridge.starts_block = own is None
        except ClusterConfigError:
            raise
        except Exception as error:
            logger.warning("Cassandra is not reached yet, trying again: %s", error)
            return False
        logger.info("connected to Cassandra; JSON of rows is written %s", transcoding.HOW)
        return True


def _state_of(node: Any, pool: dict[str, Any] | None) -> NodeState:
    """Return what the driver knows of a node; `pool` is the state of its connections, None where it has none."""
    if pool is None:
        return NodeState(node.is_up, 0)
    in_use = sum(under_way > 0 for under_way in pool["in_flights"])
    return NodeState(node.is_up, pool["open_count"], min(in_use, pool["open_count"]))


def own_connection_class() -> type[Any] | None:
    """Connections for the event loop that runs here; None for the driver's own, where it cannot watch sockets for them.

    That is trio's, and that of asyncio on Windows, which has no `add_reader`.
    """
    token = anyio.lowlevel.current_token().native_token
    if sys.platform == "win32" or not isinstance(token, asyncio.AbstractEventLoop):
        return None
    return connection_class_for(token)


def _open(settings: Settings, metrics: Metrics, connection_class: type[Any] | None) -> Any:
    """Whole in one worker thread: a cluster that did not connect is shut down here, so that no thread of it stays."""
    cluster = build_cluster(settings, row_factory=keep_page, observer=metrics, connection_class=connection_class)
    try:
        session = cluster.connect()
    except BaseException:
        cluster.shutdown()
        raise
    session.client_protocol_handler = RawProtocolHandler
    return session


def _close(session: Any) -> None:
    session.shutdown()
    session.cluster.shutdown()
