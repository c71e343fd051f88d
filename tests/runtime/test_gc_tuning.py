"""The garbage collector within `rare_collections`, and after it."""

import gc
from collections.abc import Iterator

import pytest

from asgi_app.runtime.gc_tuning import ALLOCATIONS, rare_collections


@pytest.fixture(autouse=True)
def default_collector() -> Iterator[None]:
    """Set Python's default threshold with nothing frozen (Python 3.12 freezes some at its start); restore it after."""
    before = gc.get_threshold()
    gc.unfreeze()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)
    gc.enable()
    gc.unfreeze()


def test_existing_objects_are_frozen_and_the_threshold_is_high() -> None:
    with rare_collections():
        assert gc.get_threshold() == (ALLOCATIONS, 10, 10)
        assert gc.get_freeze_count() > 1000
    assert gc.get_threshold() == (700, 10, 10)
    assert gc.get_freeze_count() == 0


def test_an_exception_restores_the_collector() -> None:
    with pytest.raises(LookupError), rare_collections():
        raise LookupError
    assert (gc.get_threshold(), gc.get_freeze_count()) == ((700, 10, 10), 0)


def test_new_cycles_are_collected() -> None:
    with rare_collections():
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() >= 1


@pytest.mark.parametrize("threshold", [ALLOCATIONS, 50_000, 0])
def test_a_higher_or_disabled_threshold_is_kept(threshold: int) -> None:
    gc.set_threshold(threshold, 5, 5)
    with rare_collections():
        assert (gc.get_threshold(), gc.get_freeze_count()) == ((threshold, 5, 5), 0)


def test_a_disabled_collector_is_left_alone() -> None:
    gc.disable()
    with rare_collections():
        assert (gc.get_threshold(), gc.get_freeze_count(), gc.isenabled()) == ((700, 10, 10), 0, False)


def test_two_overlapping_contexts_restore_the_collector() -> None:
    first, second = rare_collections(), rare_collections()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold() == (700, 10, 10)
    second.__exit__(None, None, None)
    assert (gc.get_threshold(), gc.get_freeze_count()) == ((700, 10, 10), 0)
