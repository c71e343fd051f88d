"""Requests leave no reference cycles: at each burst the collector would scan everything that is in flight."""

from __future__ import annotations

import gc
import uuid
from collections.abc import Iterator

import httpx
import pytest

from asgi_app.app import create_app
from asgi_app.runtime.gc_tuning import ALLOCATIONS
from asgi_app.settings import Settings
from contract.samples import every_loop

pytestmark = pytest.mark.anyio


@pytest.fixture
def kept() -> Iterator[list[object]]:
    """Return the list into which the garbage collector puts the cycles it finds."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@every_loop
async def test_requests_leave_no_reference_cycles(client: httpx.AsyncClient, kept: list[object]) -> None:
    body = {"name": "Ada", "email": "ada@example.com", "age": 36}
    for _ in range(10):
        user = (await client.post("/users", json=body)).json()
        assert (await client.get(f"/users/{user['id']}")).status_code == 200
        assert (await client.get(f"/users/{uuid.uuid4()}")).status_code == 404
        assert (await client.get("/users", params={"limit": 3})).status_code == 200
        assert (await client.patch(f"/users/{user['id']}", json={"age": 37})).status_code == 200
    gc.collect()
    assert [found for found in kept if type(found).__module__.startswith("asgi_app")] == []


async def test_only_an_application_that_owns_its_process_tunes_the_collector(settings: Settings) -> None:
    gc.unfreeze()  # Python 3.12 starts with frozen objects
    before = gc.get_threshold()
    found = {}
    for owns in (False, True):
        application = create_app(settings, owns_process=owns)
        async with application.router.lifespan_context(application):
            found[owns] = gc.get_threshold()[0]
        assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
    assert found == {False: before[0], True: ALLOCATIONS}
