"""Every async unit test runs on each event loop the service promises."""

import pytest
from helpers.loops import EVERY_LOOP


@pytest.fixture(params=EVERY_LOOP)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    backend: tuple[str, dict[str, bool]] = request.param
    return backend
