"""The event loops that the service promises, as parameters of the fixture `anyio_backend`."""

import pytest

ASYNCIO_LOOPS = (
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
)
"""Those that read the driver's sockets."""

EVERY_LOOP = (*ASYNCIO_LOOPS, pytest.param(("trio", {}), id="trio"))
