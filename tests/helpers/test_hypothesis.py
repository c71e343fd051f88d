"""The hypothesis profile of this run: see `pytest_configure` in tests/conftest.py."""

from __future__ import annotations

import random
from threading import Thread

import hypothesis
from hypothesis import given
from hypothesis import strategies as st


def in_thread(number: int) -> int:
    """Use the global random numbers in another thread, as the driver does when the node reports a schema change."""
    thread = Thread(target=random.random)
    thread.start()
    thread.join()
    return number


@given(st.integers().map(in_thread))
def test_other_threads_may_use_random_numbers_during_a_draw(number: int) -> None:
    assert isinstance(number, int)


def test_there_is_no_deadline_for_an_example() -> None:
    assert hypothesis.settings().deadline is None
