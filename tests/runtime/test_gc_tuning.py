"""What an application that owns its process does to the garbage collector, and leaves behind."""

import gc
from collections.abc import Iterator

import pytest

from asgi_app.runtime.gc_tuning import ALLOCATIONS, rare_collections


@pytest.fixture(autouse=True)
def pythons_own() -> Iterator[None]:
    """The collector as Python has it, with nothing frozen; afterwards as it was. (Python 3.12 starts with some.)"""
    before = gc.get_threshold()
    gc.unfreeze()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)
    gc.enable()
    gc.unfreeze()


def test_what_is_there_is_left_alone_and_new_objects_are_looked_at_rarely() -> None:
    with rare_collections():
        assert gc.get_threshold() == (ALLOCATIONS, 10, 10)
        assert gc.get_freeze_count() > 1000
    assert gc.get_threshold() == (700, 10, 10)
    assert gc.get_freeze_count() == 0


def test_all_is_as_before_whatever_happens_within() -> None:
    with pytest.raises(LookupError), rare_collections():
        raise LookupError
    assert (gc.get_threshold(), gc.get_freeze_count()) == ((700, 10, 10), 0)


def test_new_cycles_are_found_all_the_same() -> None:
    with rare_collections():
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() >= 1


@pytest.mark.parametrize("threshold", [ALLOCATIONS, 50_000, 0])
def test_what_somebody_has_chosen_counts(threshold: int) -> None:
    gc.set_threshold(threshold, 5, 5)
    with rare_collections():
        assert (gc.get_threshold(), gc.get_freeze_count()) == ((threshold, 5, 5), 0)


def test_a_collector_that_is_off_stays_as_it_is() -> None:
    gc.disable()
    with rare_collections():
        assert (gc.get_threshold(), gc.get_freeze_count(), gc.isenabled()) == ((700, 10, 10), 0, False)


def test_of_two_at_once_neither_leaves_its_traces() -> None:
    first, second = rare_collections(), rare_collections()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold() == (700, 10, 10)
    second.__exit__(None, None, None)
    assert (gc.get_threshold(), gc.get_freeze_count()) == ((700, 10, 10), 0)
