"""What fails a run."""

from __future__ import annotations


class ContenderFailed(Exception):
    """A contender does not run, or answers what it must not. The only thing that fails a run."""
