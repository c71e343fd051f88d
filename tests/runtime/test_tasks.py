"""Background tasks end with their block and leave its exceptions as they are."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from asgi_app.runtime.tasks import background_tasks

pytestmark = pytest.mark.anyio


async def test_an_exception_of_the_block_comes_out_bare() -> None:
    with pytest.raises(LookupError, match="of the block"):
        async with background_tasks() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            raise LookupError("of the block")


async def test_tasks_are_cancelled_when_the_block_ends() -> None:
    ended = anyio.Event()

    async def run_until_cancelled() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async with background_tasks() as tasks:
        tasks.start_soon(run_until_cancelled)
        await anyio.lowlevel.checkpoint()
    assert ended.is_set()


async def test_an_exception_of_a_task_cancels_the_block_and_comes_out_in_a_group() -> None:
    async def fail() -> None:
        raise LookupError("of the task")

    with pytest.raises(ExceptionGroup) as caught:
        async with background_tasks() as tasks:
            tasks.start_soon(fail)
            await anyio.sleep_forever()
    assert caught.group_contains(LookupError, match="of the task")
