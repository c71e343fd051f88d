"""Hypothesis for tests of properties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given as given_in_time
from hypothesis import settings


def given(*strategies: Any, **named: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Hypothesis' `given` without its deadline: a busy machine is no failure."""
    return lambda test: settings(deadline=None)(given_in_time(*strategies, **named)(test))
