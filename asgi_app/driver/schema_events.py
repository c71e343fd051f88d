"""Hear of schema changes through the driver's control connection.

The driver registers for Cassandra's SCHEMA_CHANGE events, and has no public way to hear of them too. A function of ours
is added to those that the control connection calls. The driver opens another control connection when it loses one, so
`SchemaEvents.take` looks again each time: what happened in between is not known then.
"""

from __future__ import annotations

from collections import deque
from typing import Any

_EVENT = "SCHEMA_CHANGE"


class SchemaEvents:
    """Collects the keyspaces whose schema changed. The driver reports in its own threads; all else is for one thread.

    With a driver that has no such control connection nothing is ever collected.
    """

    def __init__(self) -> None:
        self._connection: Any = None
        self._keyspaces: deque[str] = deque()

    def take(self, session: Any) -> frozenset[str] | None:
        """Return the keyspaces that changed since the last call; None if changes may have been missed.

        They may have been missed if the session has another control connection than at the last call; so also at the
        first call. `session` is a session of the driver.
        """
        connection = getattr(getattr(session.cluster, "control_connection", None), "_connection", None)
        if connection is not None and connection is not self._connection:
            self.leave()
            self._connection = connection
            watchers = connection._push_watchers
            watchers[_EVENT] = {*watchers.get(_EVENT, ()), self._note}  # another set: the driver may iterate over it
            return None
        changed = set()
        while self._keyspaces:
            changed.add(self._keyspaces.popleft())
        return frozenset(changed)

    def leave(self) -> None:
        """Stop listening. The control connection is left as it was found."""
        if self._connection is not None:
            watchers = self._connection._push_watchers
            watchers[_EVENT] = {*watchers.get(_EVENT, ())} - {self._note}
            self._connection = None

    def _note(self, event: dict[str, Any]) -> None:
        """Note a change. Called by the driver, in the thread that reads the connection."""
        self._keyspaces.append(event.get("keyspace") or "")
