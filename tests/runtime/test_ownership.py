"""Owners (one event loop of one process) and claims (one owner at a time)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import anyio
import pytest

from asgi_app.errors import AlreadyStarted, WrongEventLoop
from asgi_app.runtime.ownership import Claim, Owner


@pytest.fixture
def new_loop() -> Iterator[Callable[[], asyncio.AbstractEventLoop]]:
    made: list[asyncio.AbstractEventLoop] = []

    def new() -> asyncio.AbstractEventLoop:
        made.append(asyncio.new_event_loop())
        return made[-1]

    yield new
    for loop in made:
        loop.close()


@pytest.mark.anyio
async def test_an_owner_accepts_its_tasks_and_refuses_other_loops() -> None:
    owner = Owner()

    async def check() -> None:
        owner.check()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(check)

    for elsewhere in (owner.check, lambda: asyncio.run(check()), lambda: anyio.run(check, backend="trio")):
        with pytest.raises(WrongEventLoop):
            await anyio.to_thread.run_sync(elsewhere)
    owner.check()


def on(loop: asyncio.AbstractEventLoop, function: Callable[..., Any], *args: Any) -> Any:
    async def call() -> Any:
        return function(*args)

    return loop.run_until_complete(call())


def test_two_loops_of_one_thread_are_different_owners(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    first, second = new_loop(), new_loop()
    owner = on(first, Owner)
    with pytest.raises(WrongEventLoop):
        on(second, owner.check)
    with pytest.raises(WrongEventLoop):
        owner.check()
    on(first, owner.check)


def test_a_claim_of_a_closed_loop_is_free(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    claim = Claim()
    first, second = new_loop(), new_loop()
    dead: AbstractContextManager[None] = claim.held()
    on(first, dead.__enter__)
    with pytest.raises(AlreadyStarted):
        on(second, claim.held().__enter__)
    first.close()
    alive = claim.held()
    on(second, alive.__enter__)
    dead.__exit__(None, None, None)  # late: must not release the claim of the new owner
    with pytest.raises(AlreadyStarted):
        on(second, claim.held().__enter__)
    on(second, alive.__exit__, None, None, None)
    on(second, claim.held().__enter__)
