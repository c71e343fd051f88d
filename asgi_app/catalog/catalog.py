"""Keep the live tables of the resources: read them, follow their changes, say which resources are served."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import partial

import anyio
from anyio import to_thread

from asgi_app.catalog.reader import SchemaReader
from asgi_app.catalog.report import report, report_nothing
from asgi_app.catalog.snapshot import Snapshot, compared
from asgi_app.db import Database
from asgi_app.errors import NotConnected, SchemaMissing, ServiceError
from asgi_app.runtime.deadline import Deadline, acquired
from asgi_app.tables.live_wanted import Offer, Wanted
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import Table

logger = logging.getLogger("asgi_app.catalog")

RECHECK_SECONDS = 1.0
"""Seconds between two reads of the schema, at least; a request that needs the newest does not wait for them."""

FOLLOW_SECONDS = 0.5
"""Seconds between two looks at whether the schema changed. A migration sends many events within that time."""

SETTLE_SECONDS = 3.0
"""Seconds after which the schema is read again after a change: a node that was asked may have learned of it later."""

_MANY_TABLES = 50
"""Tables from which on they are compared in a worker thread: some 10 ms of work."""


class Catalog:
    """The tables of the resources, as Cassandra has them. Use it on the event loop of its database.

    The schema is read when the application starts, as soon as Cassandra answers, and again when it changes. A resource
    whose table lacks a column or has one of another type is not served until the table fits; all others are.
    """

    def __init__(self, database: Database, declared: Mapping[str, Table], wanted: Wanted | None = None) -> None:
        """`declared` has the table of each declared resource, by the resource's name; each table has its keyspace.

        `wanted` are the tables to serve from the live schema.
        """
        self._database = database
        self._declared = declared
        self._wanted = wanted or Wanted()
        self._keyspaces = {table.keyspace or "" for table in declared.values()} | self._wanted.keyspaces
        self._reader = SchemaReader(database)
        self._snapshot = Snapshot()
        self._began = self._tried = self._in_vain = -RECHECK_SECONDS
        self._reading = anyio.Lock()
        self._failure = ""
        self._wanted_names = self._wanted.names
        self._names = frozenset(declared) | self._wanted_names
        self.was_read = not self._keyspaces
        """Whether the schema was read at least once, or there is none to read."""
        self.version = 0
        """A number that grows whenever a read of the schema changed anything that is served."""
        self.changed_at = 0.0
        """When it last grew, by the clock of request records: `time.perf_counter`."""
        self.unfit = set(self._names)
        """The names of the resources that are not served now, as far as is known: at first all."""
        self.read_only: frozenset[str] = frozenset()
        """The names of the resources whose tables are views or virtual, as far as is known."""

    @property
    def current(self) -> Mapping[str, Table]:
        """The live tables of the resources that are served, by the resource's name."""
        return self._snapshot.sound

    @property
    def live(self) -> Mapping[str, Resource]:
        """The resources of the live schema by name. Each is another object when its table has changed."""
        return self._snapshot.live

    @property
    def offer(self) -> Offer:
        """The tables that are served of those that the application asks for, and why each other one is not."""
        return self._snapshot.offer

    @property
    def missing(self) -> Mapping[str, tuple[str, ...]]:
        """The columns that tables of resources lack or have with another type, by the resource's name.

        A resource of the live schema has none here, because it has no columns without its table.
        """
        return self._snapshot.missing

    @property
    def has_live_resources(self) -> bool:
        """Whether tables of the live schema are served, or would be if they were there."""
        return bool(self._wanted.keyspaces)

    def may_have(self, name: str) -> bool:
        """Return whether a resource of the live schema of this name may be served, now or when the schema was read."""
        if name in self._snapshot.live or self.names_a_table(name):
            return True
        return not self.was_read and bool(self._wanted.whole_keyspaces) and name not in self._wanted.taken

    def names_a_table(self, name: str) -> bool:
        """Return whether a declaration or a setting names this table of the live schema, whether it is there or not."""
        return name in self._wanted_names

    async def table(self, name: str, deadline: Deadline) -> Table:
        """Return the table of a resource, with the indexes that Cassandra has.

        Raises SchemaMissing if it does not fit or is not there, and what `Database.execute` raises.
        """
        found = self._snapshot.sound.get(name)
        if found is None:
            await self._refresh(deadline)
            found = self._snapshot.sound.get(name)
        if found is None:
            raise self._missing_error(name)
        return found

    def _missing_error(self, name: str) -> SchemaMissing:
        columns = ", ".join(self._snapshot.missing.get(name, ()))
        if not columns:
            return SchemaMissing("The table of this resource does not exist, or cannot be served; the log says why.")
        if name in self._snapshot.absent:
            return SchemaMissing(
                f"The table of this resource does not exist. Its declaration has the columns: {columns}."
            )
        return SchemaMissing(f"The table of this resource does not fit its declaration in the columns: {columns}.")

    async def ensure_read(self, deadline: Deadline) -> None:
        """Read the schema if it never was. Raises what `Database.execute` raises."""
        if not self.was_read:
            await self._refresh(deadline)

    async def read_again(self, deadline: Deadline, *, is_certain: bool = False) -> None:
        """Read the schema after a statement failed that may have met a change of it, or has if that `is_certain`.

        Does nothing if another task has found a change meanwhile, or if a read less than a second ago was in vain and
        there may be no change. Raises what `Database.execute` raises.
        """
        failed, version = time.monotonic(), self.version
        async with acquired(self._reading, deadline):
            is_done = version != self.version or self._began >= failed
            if is_done or (not is_certain and failed - self._in_vain < RECHECK_SECONDS):
                return
            await self._read(deadline)
            if version == self.version:
                self._in_vain = time.monotonic()

    async def follow(self, seconds: float) -> None:
        """Read the schema as soon as Cassandra answers, and again whenever it changes. Runs until it is cancelled.

        Each read may take `seconds`. One that fails is repeated.
        """
        due = [0.0]
        while self._keyspaces:
            due += self._reads_due()
            now = time.monotonic()
            is_due = any(at <= now for at in due) and now - self._tried >= RECHECK_SECONDS
            if is_due and await self._read_in_background(seconds):
                due = [at for at in due if at > now]
            await anyio.sleep(FOLLOW_SECONDS)

    def _reads_due(self) -> tuple[float, ...]:
        """Return when the schema must be read because of what was heard since the last call."""
        try:
            changed = self._database.schema_changes()
        except ServiceError:  # there is no connection
            return ()
        now = time.monotonic()
        if changed is None:
            return (now,)
        return (now, now + SETTLE_SECONDS) if self._keyspaces & changed else ()

    async def _read_in_background(self, seconds: float) -> bool:
        """Read the schema, and return whether that succeeded."""
        try:
            deadline = Deadline.after(seconds)
            async with acquired(self._reading, deadline):
                await self._read(deadline)
        except NotConnected:
            return False
        except ServiceError as error:
            self._log_failure(str(error.__cause__ or error))
            return False
        except Exception as error:  # a bug may cost the knowledge of a change, and not the service
            self._log_failure(repr(error), error)
            return False
        self._failure = ""
        return True

    def _log_failure(self, failure: str, bug: Exception | None = None) -> None:
        """Log why the schema could not be read, unless it is why it could not be read before."""
        if failure != self._failure:
            self._failure = failure
            level = logging.WARNING if bug is None else logging.ERROR
            logger.log(level, "the schema could not be read, trying again: %s", failure, exc_info=bug)

    async def _refresh(self, deadline: Deadline) -> None:
        """Read the schema, unless another task has just done so."""
        async with acquired(self._reading, deadline):
            if not self.was_read or time.monotonic() - self._began >= RECHECK_SECONDS:
                await self._read(deadline)

    async def _read(self, deadline: Deadline) -> None:
        """Read the schema, and serve what it says from now on."""
        began = self._tried = time.monotonic()
        schemas = await self._reader.read(self._keyspaces, deadline)
        before = self._snapshot
        compare = partial(compared, self._declared, self._wanted, schemas, before)
        is_large = sum(len(schema.tables) for schema in schemas.values()) > _MANY_TABLES
        after = await to_thread.run_sync(compare) if is_large else compare()
        if not self.was_read:
            report_nothing(each for each in self._wanted.whole_keyspaces if not schemas[each].tables)
        self._began, self.was_read = began, True
        self._snapshot = after
        self.unfit = set(self._names - after.sound.keys())
        self.read_only = frozenset(name for name, table in after.sound.items() if table.is_view or table.is_virtual)
        if not after.serves_as(before):
            self.version, self.changed_at = self.version + 1, time.perf_counter()
        report(before, after)
