"""A driver that is not one of the tested ones is used by its public methods, and everything works.

Here the usual driver is treated as an untested one. `tests/process/test_other_drivers.py` installs others.
"""

from __future__ import annotations

import logging

import pytest
from helpers.service import serving

from asgi_app.driver import execution
from asgi_app.driver import session as connection
from asgi_app.driver.loop_connection import LoopConnection
from asgi_app.settings import Settings
from contract.samples import ADA

pytestmark = pytest.mark.anyio


async def test_untested_driver_is_used_by_its_public_methods(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(settings) as (_, client):
        ada = (await client.post("/users", json=ADA)).json()
        fast = [await client.get(path) for path in (f"/users/{ada['id']}", "/users?limit=100", "/users/stream")]
    monkeypatch.setattr(connection, "is_tested", lambda: False)
    with caplog.at_level(logging.WARNING, "asgi_app.db"):
        async with serving(settings) as (app, client):
            database = app.state.database
            assert type(database._connection.executor) is execution.SessionExecutor
            assert not issubclass(database.session.cluster.connection_class, LoopConnection)
            plain = [await client.get(path) for path in (f"/users/{ada['id']}", "/users?limit=100", "/users/stream")]
            assert (await client.post("/users/batch", json=[ADA, ADA])).status_code == 201
            assert (await client.get("/readyz")).status_code == 200
    assert [answer.json() for answer in plain] == [answer.json() for answer in fast]
    said = [record.getMessage() for record in caplog.records if "is used by its public methods" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("cassandra-driver 3.")
