"""One driver session: a parent's, or one of our own, opened in the background and closed inside out.

The driver finds nodes again at the addresses it knows. Where all of them have moved (containers that were started
elsewhere, behind the same name), it would try the old addresses without end, so a session of our own is then replaced
by one that starts from the configured names: see `Connection.watch`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from asgi_app.driver import transcoding
from asgi_app.driver.borrowed import BorrowedSession
from asgi_app.driver.cluster import ClusterConfigError, build_cluster
from asgi_app.driver.connecting import connect
from asgi_app.driver.execution import Executor, LoopExecutor, SessionExecutor
from asgi_app.driver.installed_driver import TESTED, driver_name, is_tested
from asgi_app.driver.loop_connection import connection_class_for
from asgi_app.driver.protocol import RawProtocolHandler, keep_page
from asgi_app.errors import NotConnected, ShuttingDown
from asgi_app.runtime.dispatcher import Dispatcher
from asgi_app.runtime.ownership import Owner
from asgi_app.settings import Settings
from asgi_app.telemetry.metrics import Metrics, NodeState

logger = logging.getLogger("asgi_app.db")

FIRST_RETRY = 0.25
LONGEST_RETRY = 1.0
"""Seconds between attempts to connect: short, since readiness is promised within two seconds of Cassandra's return."""

FIRST_RENEWAL = 3.0
"""Seconds without any connection to a node until the configured names are resolved again.

The driver tries the addresses it knows each second: a node that is restarted where it was is found by that first.
"""

LONGEST_RENEWAL = 12.0
"""Seconds between further attempts, which double up to this."""


class Connection:
    """Connects and closes in worker threads of the dispatcher.

    With a session that was `lent` there is nothing to connect, and nothing is closed: that is for its owner.
    """

    def __init__(
        self,
        settings: Settings,
        dispatcher: Dispatcher,
        metrics: Metrics,
        owner: Owner,
        lent: BorrowedSession | None = None,
    ) -> None:
        self._settings = settings
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._lent = lent
        self._session: Any = lent
        self._executor: Executor | None = None if lent is None else SessionExecutor(lent)
        self._owner = owner
        self._closed = False
        self._doubted = anyio.Event()

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
    def executor(self) -> Executor:
        """Return what sends statements on the session; raise as `session` does."""
        return self._executor or SessionExecutor(self.session)

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

    def doubt(self) -> None:
        """Have `watch` look whether any node is connected. Call it when a statement failed as if none were."""
        self._doubted.set()

    async def watch(self, renewed: Callable[[], None]) -> None:
        """Replace the session whenever no node has been connected for some seconds; runs until it is cancelled.

        The new one starts from the configured names, resolved again; `renewed` is called when it has taken the place of
        the old. Where the driver reaches a node of the old one first, that one stays. A session that was lent is left
        alone: it is its owner's. Cancelling takes effect after the attempt under way.
        """
        while self._lent is None:
            await self._doubted.wait()
            self._doubted = anyio.Event()
            pause = FIRST_RENEWAL
            while self._is_cut_off():
                await anyio.sleep(pause)
                if self._is_cut_off():
                    await self._renew(renewed)
                pause = min(pause * 2, LONGEST_RENEWAL)

    async def close(self) -> None:
        """Close the session, then its cluster. Calls still under way end with an error of the driver's.

        Does nothing in a forked process: the session is the other's.
        """
        self._closed = True
        if self._session is not None and not self._owner.is_gone:
            session, self._session, self._executor = self._session, None, None
            if session is not self._lent:
                await self._dispatcher.run_blocking(_close, session)

    async def _attempt(self) -> bool:
        try:
            self._use(await self._open())
        except ClusterConfigError:
            raise
        except Exception as error:
            logger.warning("Cassandra is not reached yet, trying again: %s", error)
            return False
        if not is_tested():
            logger.warning("%s is used by its public methods; the fast path is for %s", driver_name(), TESTED)
        logger.info("connected to Cassandra; JSON of rows is written %s", transcoding.HOW)
        return True

    async def _open(self) -> Any:
        own = own_connection_class()
        self._dispatcher.starts_block = own is None
        return await self._dispatcher.run_blocking(_open, self._settings, self._metrics, own)

    def _use(self, session: Any) -> None:
        self._session = session
        self._executor = LoopExecutor(session) if is_tested() else SessionExecutor(session)

    def _is_cut_off(self) -> bool:
        """Return whether there is a session, and no node of it is connected."""
        if self._session is None:
            return False
        return not any(pool["open_count"] for pool in self._session.get_pool_state().values())

    async def _renew(self, renewed: Callable[[], None]) -> None:
        """Open a second session and keep the one that reaches a node; call `renewed` if that is the second."""
        logger.warning("no known node of Cassandra is connected; starting again from the configured names")
        try:
            opened = await self._open()
        except Exception as error:  # a file of certificates that went away is no reason to end a service either
            logger.warning("Cassandra is not reached yet, trying again: %s", error)
            return
        unwanted = opened
        if self._is_cut_off():
            unwanted = self._session
            self._use(opened)
            renewed()
            logger.info("connected to Cassandra again, by its new addresses")
        with anyio.CancelScope(shield=True):  # one of the two would stay open
            await self._discard(unwanted)

    async def _discard(self, session: Any) -> None:
        try:
            await self._dispatcher.run_blocking(_close, session)
        except Exception:
            logger.exception("a session that is no longer used could not be closed")


def _state_of(node: Any, pool: dict[str, Any] | None) -> NodeState:
    """Return what the driver knows of a node; `pool` is the state of its connections, None where it has none."""
    if pool is None:
        return NodeState(node.is_up, 0)
    in_use = sum(under_way > 0 for under_way in pool["in_flights"])
    return NodeState(node.is_up, pool["open_count"], min(in_use, pool["open_count"]))


def own_connection_class() -> type[Any] | None:
    """Connections for the event loop that runs here; None for the driver's own, where it cannot watch sockets for them.

    That is trio's, and that of asyncio on Windows, which has no `add_reader`. Nor for a driver that is not one of those
    whose private parts this service knows.
    """
    if not is_tested():
        return None
    token = anyio.lowlevel.current_token().native_token
    if sys.platform == "win32" or not isinstance(token, asyncio.AbstractEventLoop):
        return None
    return connection_class_for(token)


def _open(settings: Settings, metrics: Metrics, connection_class: type[Any] | None) -> Any:
    """Whole in one worker thread: a cluster that did not connect is shut down here, so that no thread of it stays."""
    cluster = build_cluster(settings, row_factory=keep_page, observer=metrics, connection_class=connection_class)
    try:
        session = connect(cluster, settings)
    except BaseException:
        cluster.shutdown()
        raise
    session.client_protocol_handler = RawProtocolHandler
    return session


def _close(session: Any) -> None:
    session.shutdown()
    session.cluster.shutdown()
