"""Read dates, times, timestamps and durations from the texts that responses write: see `docs/types.md`.

Each function raises ValueError for a text that is not one, or is out of the range of its CQL type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType

_DATE = r"([0-9]{4}|[+-][0-9]{4,9})-([0-9]{2})-([0-9]{2})"
_TIME = r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
_date = re.compile(_DATE, re.ASCII)
_time = re.compile(_TIME, re.ASCII)
_timestamp = re.compile(f"{_DATE}T{_TIME}(?:Z|([+-])([0-9]{{2}}):([0-9]{{2}}))", re.ASCII)

_DAYS_TO_EPOCH = date(1970, 1, 1).toordinal()
_DAYS_IN_CYCLE = 146_097  # the Gregorian calendar repeats after 400 years


def days_of(text: str) -> int:
    """Return the days since 1970-01-01 of `2024-02-29`, or of `+10000-01-01` with a signed year outside 0001 to 9999.

    The calendar is the proleptic Gregorian one, with a year zero, as in ISO 8601.
    """
    found = _date.fullmatch(text)
    if found is None:
        raise ValueError("not a date")
    return _days(*found.groups())


def _days(year_text: str, month: str, day: str) -> int:
    year = int(year_text)
    signed = year_text[0] in "+-"
    if signed == (1 <= year <= 9999) or (signed and year_text != f"{year:+05d}"):
        raise ValueError("not the form of this year")
    cycles, within = divmod(year - 1, 400)
    return date(within + 1, int(month), int(day)).toordinal() - _DAYS_TO_EPOCH + cycles * _DAYS_IN_CYCLE


def nanoseconds_of(text: str) -> int:
    """Return the nanoseconds since midnight of `13:14:15.123456789`; a second has up to nine digits, or no fraction."""
    found = _time.fullmatch(text)
    if found is None:
        raise ValueError("not a time of day")
    return _nanoseconds(*found.groups())


def _nanoseconds(hours: str, minutes: str, seconds: str, fraction: str | None) -> int:
    if hours > "23" or minutes > "59" or seconds > "59":
        raise ValueError("not a time of day")
    whole = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return whole * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def milliseconds_of(text: str) -> int:
    """Return the milliseconds since 1970-01-01T00:00Z of `2026-11-21T22:35:19.795Z`, or of one with an offset.

    Digits after the milliseconds are cut off, as Cassandra does: a `timestamp` has none.
    """
    found = _timestamp.fullmatch(text)
    if found is None:
        raise ValueError("not a timestamp with a zone")
    year, month, day, hours, minutes, seconds, fraction, sign, *offset = found.groups()
    of_day = _nanoseconds(hours, minutes, seconds, fraction) // 1_000_000
    return _days(year, month, day) * 86_400_000 + of_day - _offset(sign, *offset)


def _offset(sign: str | None, hours: str | None, minutes: str | None) -> int:
    """Return the milliseconds that a zone is ahead of UTC (RFC 3339 section 5.6)."""
    if sign is None or hours is None or minutes is None:
        return 0
    ahead = _nanoseconds(hours, minutes, "00", None) // 1_000_000
    return ahead if sign == "+" else -ahead


_Units = Mapping[str, int]
_MONTHS: _Units = MappingProxyType({"y": 12, "mo": 1})
_DAYS: _Units = MappingProxyType({"w": 7, "d": 1})
_NANOSECONDS: _Units = MappingProxyType(
    {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
)
_PARTS = ((_MONTHS, 2**31), (_DAYS, 2**31), (_NANOSECONDS, 2**63))
"""The units of a duration's three numbers, with the bound of each (`native_protocol_v5.spec` section 6.7)."""

_UNITS = [unit for units, _ in _PARTS for unit in units]
_duration = re.compile("(-?)" + "".join(f"(?:([0-9]{{1,19}}){unit})?" for unit in _UNITS), re.ASCII)


def months_days_nanoseconds_of(text: str) -> Sequence[int]:
    """Return the three numbers of `1y2mo25d5h6m7s8ms9us10ns`. A minus sign in front makes all of them negative.

    Each unit stands at most once, in this order, as CQL has it; `w` is seven days.
    """
    found = _duration.fullmatch(text)
    if found is None or text in ("", "-"):
        raise ValueError("not a duration")
    amounts = dict(zip(_UNITS, found.groups()[1:], strict=True))
    sign = -1 if found[1] else 1
    return [_sum(amounts, units, sign, bound) for units, bound in _PARTS]


def _sum(amounts: Mapping[str, str | None], units: _Units, sign: int, bound: int) -> int:
    total = sign * sum(int(amounts[unit] or 0) * size for unit, size in units.items())
    if not -bound <= total < bound:
        raise ValueError("out of the range of a duration")
    return total
