"""Start a node with an empty environment, with cached jars and without."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from node_helpers import PARENT_SCRIPT, network_environment

from asgi_app.local_node import NodeSpec
from asgi_app.local_node.files import cache_folder
from asgi_app.local_node.jars import server_jars
from asgi_app.local_node.spec import no_progress


@dataclass(frozen=True)
class FirstBoot:
    """The result of a start with an empty environment: data folder, working folder, reported pids."""

    data: Path
    working_folder: Path
    report: dict[str, int]

    @property
    def cache(self) -> Path:
        return self.data / "cache"


@pytest.fixture(scope="session")
def jar_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the user's cache with all jars in it; the first run of the tests on a machine downloads them."""
    folder = tmp_path_factory.mktemp("no node")
    cache = cache_folder(None, folder)
    server_jars(cache, NodeSpec(data=folder).version, no_progress)
    return cache


@pytest.fixture(
    scope="session",
    params=[pytest.param(True, id="cached jars"), pytest.param(False, id="no jars", marks=pytest.mark.network)],
)
def first_boot(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, jar_cache: Path) -> FirstBoot:
    """Boot and stop a node with empty PATH and HOME and no other Java, with cached jars or with a download."""
    folder = tmp_path_factory.mktemp("first boot")  # a path with a blank in it
    working_folder = folder / "elsewhere"
    working_folder.mkdir()
    if request.param:
        shutil.copytree(jar_cache, folder / "data" / "cache")
    program = subprocess.run(
        [sys.executable, str(PARENT_SCRIPT), str(folder / "data"), ""],
        env={**network_environment(), "PATH": "", "HOME": ""},
        cwd=working_folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=300,
        check=True,
    )
    return FirstBoot(folder / "data", working_folder, json.loads(program.stdout))
