"""The private parts of the driver that the service uses: an upgrade that removes one fails here by name."""

from pathlib import Path

import pytest
from helpers.private_parts import missing, used_private_names

import asgi_app.driver
from asgi_app.driver.installed_driver import PRIVATE_PARTS

FOLDER = Path(asgi_app.driver.__file__).parent


def test_the_installed_driver_has_all() -> None:
    assert missing(PRIVATE_PARTS) == []


def test_all_that_are_used_are_listed() -> None:
    listed = {part for name in PRIVATE_PARTS for part in name.split(".")}
    assert used_private_names(FOLDER) - listed == set()


@pytest.mark.parametrize(
    "name",
    [
        "cassandra.cluster.ResponseFuture._gone",
        "cassandra.cluster._Gone.attribute",
        "cassandra.cluster._Gone",
        "cassandra.gone",
    ],
)
def test_a_removed_part_is_named(name: str) -> None:
    assert missing([name, "cassandra.cluster.ResponseFuture._timer"]) == [name]
