"""Times as all contenders write and answer them. Needs the standard library alone."""

from __future__ import annotations

from datetime import UTC, datetime


def time_text(moment: datetime) -> str:
    """A time in UTC, whether it says so or not, as answered."""
    return moment.isoformat(timespec="milliseconds")[:23] + "Z"


def now() -> datetime:
    """The time in UTC, in the milliseconds that Cassandra keeps."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
