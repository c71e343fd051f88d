"""The service's driver session: its own, opened in the background, or one borrowed from the parent application.

The driver reconnects to nodes at the addresses it knows. If all nodes have moved (containers that restarted elsewhere
behind the same name), it keeps trying the old addresses. So a session of our own is then replaced by one that
starts from the configured names: see `Connection.watch`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from copy import copy
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from asgi_app.driver import transcoding
from asgi_app.driver.cluster import ClusterConfigError, Observer, build_cluster, execution_changes
from asgi_app.driver.connecting import connect
from asgi_app.driver.execution import Executor, LoopExecutor, SessionExecutor
from asgi_app.driver.installed_driver import TESTED, cluster, driver_name, is_tested
from asgi_app.driver.loop_connection import connection_class_for
from asgi_app.driver.protocol import RawProtocolHandler, keep_page
from asgi_app.errors import NotConnected, ShuttingDown
from asgi_app.runtime.dispatcher import Dispatcher
from asgi_app.runtime.ownership import Owner
from asgi_app.settings import Settings
from asgi_app.telemetry.metrics import Metrics, NodeState
from asgi_app.telemetry.recurring import RecurringWarning

logger = logging.getLogger("asgi_app.db")

FIRST_RETRY = 0.25
LONGEST_RETRY = 1.0
"""Seconds between attempts to connect: short, to be ready within two seconds of Cassandra's return, as promised."""

FIRST_RENEWAL = 3.0
"""Seconds without a connection to any node until the configured names are resolved again.

The driver tries the addresses it knows each second, so it reaches a node that restarts at its old address earlier.
"""

LONGEST_RENEWAL = 12.0
"""Seconds between further attempts, which double up to this."""

_TRYING_AGAIN = "Cassandra is not reached yet, trying again"

SessionSource: TypeAlias = Any
"""A session of the driver, or a function without parameters that returns one when the application starts."""


def borrow(source: SessionSource, settings: Settings, observer: Observer) -> BorrowedSession:
    """Return the session of a parent application, wrapped for this service; retries are reported to `observer`.

    Raises TypeError for anything but a `cassandra.cluster.Session`, such as another package's wrapper of one.
    """
    session = source() if callable(source) else source
    if not isinstance(session, cluster.Session):
        raise TypeError(f"session must be a cassandra.cluster.Session, not {type(session).__qualname__}")
    return BorrowedSession(session, settings, observer)


class BorrowedSession:
    """A view of a parent's session that runs statements in this service's way and leaves the session unchanged.

    It shares the session's pools and cluster. It keeps rows encoded, and gives statements the service's consistency
    levels, retries and timeouts. The cluster's own policy chooses the nodes. All other attributes are the session's.
    """

    def __init__(self, session: Any, settings: Settings, observer: Observer) -> None:
        self._session = session
        self._changes = execution_changes(settings, keep_page, observer)
        self._profile = session.execution_profile_clone_update(cluster.EXEC_PROFILE_DEFAULT, **self._changes)
        self._view = copy(session)  # shallow: the same pools, but its own protocol handler and defaults
        self._view.client_protocol_handler = RawProtocolHandler
        self._view.shutdown = _keep_open  # the driver calls it when the view is freed, and the pools are the parent's

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def execute_async(self, query: Any, *, timeout: float, paging_state: bytes | None = None) -> Any:
        """Run a statement as the driver's session does, and return its response future."""
        if self._session.cluster._config_mode == cluster._ConfigMode.LEGACY:
            return self._execute_without_profile(query, timeout, paging_state)
        return self._view.execute_async(
            query, timeout=timeout, execution_profile=self._profile, paging_state=paging_state
        )

    def _execute_without_profile(self, query: Any, timeout: float, paging_state: bytes | None) -> Any:
        """Run a statement on a cluster that refuses profiles, because its owner set legacy options on it."""
        self._view.row_factory = self._changes["row_factory"]
        for name in ("serial_consistency_level", "retry_policy"):
            setattr(query, name, self._changes[name])
        if query.consistency_level is None:
            query.consistency_level = self._changes["consistency_level"]
        return self._view.execute_async(query, timeout=timeout, paging_state=paging_state)


def _keep_open() -> None:
    """Do nothing in place of a shutdown."""


class Connection:
    """The service's session, connected and closed in worker threads of the dispatcher.

    A `borrowed` session is neither connected nor closed here: its owner does both.
    """

    def __init__(
        self,
        settings: Settings,
        dispatcher: Dispatcher,
        metrics: Metrics,
        owner: Owner,
        borrowed: BorrowedSession | None = None,
    ) -> None:
        self._settings = settings
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._borrowed = borrowed
        self._session: Any = borrowed
        self._executor: Executor | None = None if borrowed is None else SessionExecutor(borrowed)
        self._owner = owner
        self._closed = False
        self._check_requested = anyio.Event()
        self._unreached = RecurringWarning(logger)

    @property
    def session(self) -> Any:
        """The driver's session. Readable in any thread.

        Raises NotConnected before the first connection and ShuttingDown after `close`. Raises OpenedBeforeFork in a
        forked process, which lacks the threads that read the session's connections.
        """
        self._owner.check_process()
        if self._closed:
            raise ShuttingDown("The database was closed.")
        if self._session is None:
            raise NotConnected
        return self._session

    @property
    def executor(self) -> Executor:
        """The executor that sends statements on the session. Raises as `session` does."""
        return self._executor or SessionExecutor(self.session)

    def nodes(self) -> dict[str, NodeState]:
        """Return the nodes that the driver knows, by address; none before the first connection."""
        if self._session is None:
            return {}
        pools = self._session.get_pool_state()
        return {
            str(node.endpoint): _state_of(node, pools.get(node)) for node in self._session.cluster.metadata.all_hosts()
        }

    async def connect(self, *, task_status: TaskStatus[None]) -> None:
        """Try to connect until an attempt succeeds; report started after the first attempt, successful or not.

        Raises ClusterConfigError if the settings can never make a cluster. Cancellation takes effect after the current
        attempt, which `CASSANDRA_CONNECTION_TIMEOUT` bounds for each host.
        """
        pause = FIRST_RETRY
        while self._session is None and not await self._attempt():
            task_status.started()
            task_status = anyio.TASK_STATUS_IGNORED
            await anyio.sleep(pause)
            pause = min(pause * 2, LONGEST_RETRY)
        task_status.started()

    def request_check(self) -> None:
        """Make `watch` check whether any node is connected. Call it after a failure that suggests none is."""
        self._check_requested.set()

    async def watch(self, renewed: Callable[[], None]) -> None:
        """Replace the session whenever no node has been connected for some seconds. Runs until it is cancelled.

        The new session starts from the configured names, resolved again. `renewed` is called after it has replaced the
        old one. If the driver reaches a node of the old session first, the old one stays. A borrowed session is never
        replaced. Cancellation takes effect after the current attempt.
        """
        while self._borrowed is None:
            await self._check_requested.wait()
            self._check_requested = anyio.Event()
            pause = FIRST_RENEWAL
            was_cut_off = False
            while self._is_cut_off():
                await anyio.sleep(pause)
                if self._is_cut_off():
                    if not was_cut_off:
                        logger.warning(
                            "no known node of Cassandra is connected; starting again from the configured names"
                        )
                    was_cut_off = True
                    await self._renew(renewed)
                pause = min(pause * 2, LONGEST_RENEWAL)

    async def close(self) -> None:
        """Close the session, then its cluster. Running statements end with an error of the driver.

        Does nothing in a forked process, because the session belongs to the process that opened it.
        """
        self._closed = True
        if self._session is not None and not self._owner.is_gone:
            session, self._session, self._executor = self._session, None, None
            if session is not self._borrowed:
                await self._dispatcher.run_blocking(_close, session)

    async def _attempt(self) -> bool:
        try:
            self._use(await self._open())
        except ClusterConfigError:
            raise
        except Exception as error:
            self._unreached.warn(_TRYING_AGAIN, error)
            return False
        self._unreached.over()
        if not is_tested():
            logger.warning("%s is used by its public methods; the fast path is for %s", driver_name(), TESTED)
        logger.info("connected to Cassandra at %s; JSON of rows is written %s", self._settings.address, transcoding.HOW)
        return True

    async def _open(self) -> Any:
        own = own_connection_class()
        self._dispatcher.starts_block = own is None
        return await self._dispatcher.run_blocking(_open, self._settings, self._metrics, own)

    def _use(self, session: Any) -> None:
        self._session = session
        self._executor = LoopExecutor(session) if is_tested() else SessionExecutor(session)

    def _is_cut_off(self) -> bool:
        """Return whether there is a session without a connection to any node."""
        if self._session is None:
            return False
        return not any(pool["open_count"] for pool in self._session.get_pool_state().values())

    async def _renew(self, renewed: Callable[[], None]) -> None:
        """Open a second session and keep the one that reaches a node; call `renewed` if that is the second."""
        try:
            opened = await self._open()
        except Exception as error:  # not even a ClusterConfigError (a deleted certificate) may end the service
            self._unreached.warn(_TRYING_AGAIN, error)
            return
        unwanted = opened
        if self._is_cut_off():
            unwanted = self._session
            self._use(opened)
            renewed()
            self._unreached.over()
            logger.info("connected to Cassandra again, by its new addresses")
        with anyio.CancelScope(shield=True):  # else one of the two would stay open
            await self._discard(unwanted)

    async def _discard(self, session: Any) -> None:
        try:
            await self._dispatcher.run_blocking(_close, session)
        except Exception:
            logger.exception("a session that is no longer used could not be closed")


def _state_of(node: Any, pool: dict[str, Any] | None) -> NodeState:
    """Return the state of a node; `pool` is the state of its connections, None if it has none."""
    version, data_center = node.release_version or "", node.datacenter or ""
    if pool is None:
        return NodeState(node.is_up, 0, version=version, data_center=data_center)
    in_use = sum(in_flight > 0 for in_flight in pool["in_flights"])
    return NodeState(node.is_up, pool["open_count"], min(in_use, pool["open_count"]), version, data_center)


def own_connection_class() -> type[Any] | None:
    """Return the class of connections for the running event loop; None to use the driver's own class.

    The driver's class is used on trio, on asyncio on Windows, whose loop has no `add_reader`, and with a driver that is
    not tested (see `installed_driver`).
    """
    if not is_tested():
        return None
    token = anyio.lowlevel.current_token().native_token
    if sys.platform == "win32" or not isinstance(token, asyncio.AbstractEventLoop):
        return None
    return connection_class_for(token)


def _open(settings: Settings, metrics: Metrics, connection_class: type[Any] | None) -> Any:
    """Return a connected session. Blocks. Shuts the cluster down if it does not connect, to leave no thread behind."""
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
