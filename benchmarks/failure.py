"""The error that fails a run."""

from __future__ import annotations


class ContenderFailed(Exception):
    """A contender, a client or a helper process does not run, or gives a wrong answer."""
