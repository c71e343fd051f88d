"""The example of docs/security.md: a parent application that checks JSON Web Tokens for the mounted one."""

from __future__ import annotations

import runpy
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from helpers.problems import problem
from helpers.service import client_of

from asgi_app.settings import Settings
from contract.samples import ADA

pytestmark = pytest.mark.anyio

EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "jwt_parent.py"))
KEY = "k" * 32


def token(key: str = KEY, **changes: Any) -> dict[str, str]:
    """Return the Authorization field with a token. `changes` replace its claims; None removes one."""
    claims = {"sub": "ada", "aud": EXAMPLE["AUDIENCE"], "exp": time.time() + 60, "scope": "read write.users"} | changes
    signed = jwt.encode({name: value for name, value in claims.items() if value is not None}, key, "HS256")
    return {"Authorization": f"Bearer {signed}"}


@pytest.fixture(scope="module")
async def parent(anyio_backend: Any, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = EXAMPLE["create_parent"](KEY, settings)
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


async def test_scopes_of_a_token_decide(parent: httpx.AsyncClient) -> None:
    created = await parent.post("/db/users", json=ADA, headers=token())
    assert created.status_code == 201
    assert (await parent.get(created.headers["location"], headers=token(scope="read"))).json() == created.json()
    problem(await parent.delete(created.headers["location"], headers=token(scope="read")), 403, "forbidden")
    problem(await parent.get("/db/plant/a", headers=token(scope="read.users")), 403, "forbidden")
    assert (await parent.get("/db/users/stream?limit=1", headers=token())).status_code == 200


async def test_requests_without_a_valid_token_are_401(parent: httpx.AsyncClient) -> None:
    problem(await parent.get("/db/users"), 401, "unauthorized")
    unsigned = jwt.encode({"sub": "ada", "aud": EXAMPLE["AUDIENCE"], "exp": time.time() + 60}, None, "none")
    bad = [
        token("x" * 32),
        token(exp=time.time() - 60),
        token(exp=None),
        token(sub=None),
        token(aud="another"),
        {"Authorization": f"Bearer {unsigned}"},
        {"Authorization": "Bearer x"},
    ]
    for headers in bad:
        refused = await parent.get("/db/users", headers=headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert (await parent.get("/db/readyz")).status_code == 200
