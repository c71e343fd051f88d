"""One download for all tests of the local node, made by the strictest start there is."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from node_helpers import PARENT_SCRIPT, network_environment


@dataclass(frozen=True)
class FirstBoot:
    """What a start with nothing in its environment left: its data folder, its working folder, what it said."""

    data: Path
    working_folder: Path
    said: dict[str, int]

    @property
    def cache(self) -> Path:
        return self.data / "cache"


@pytest.fixture(scope="session")
def first_boot(tmp_path_factory: pytest.TempPathFactory) -> FirstBoot:
    """A node booted and stopped with PATH and HOME empty, no Java in sight and no jar in the cache."""
    folder = tmp_path_factory.mktemp("first boot")  # a path with a blank in it
    working_folder = folder / "elsewhere"
    working_folder.mkdir()
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


@pytest.fixture(scope="session")
def jar_cache(first_boot: FirstBoot) -> Path:
    """A cache with all jars in it."""
    return first_boot.cache
