"""For logging configurations, the command line's and those of others: JSON lines, and the ids of the request.

The service itself logs by `logging` alone and works with any configuration.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.msgspec import MsgspecFormatter

from asgi_app.telemetry.request_record import log_fields


class SteadySeconds(logging.Formatter):
    """Writes out a second once, and not for each of its records: under load that is a tenth of a line's price."""

    _second = -1
    _text = ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """The time with its milliseconds, by `converter` and the default formats."""
        second = int(record.created)
        if second != self._second:
            self._text = time.strftime(self.default_time_format, self.converter(second))
            self._second = second
        return self.default_msec_format % (self._text, record.msecs)  # type: ignore[operator]  # it is a text here


class ConsoleLines(SteadySeconds):
    """A record as one line for people, with the machine's local time."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")


class JsonLines(SteadySeconds, MsgspecFormatter):
    """A record as one line of JSON: time (RFC 3339, UTC, milliseconds), level, logger, message, and its fields."""

    converter = time.gmtime  # type: ignore[assignment]  # as the library's documentation has it; seconds may be left out
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__(
            ["asctime", "levelname", "name", "message"],
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's message once more, with escape sequences
        )

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """The line. What UTF-8 cannot have, as an exception's text may, is escaped."""
        try:
            line: str = super().jsonify_log_record(log_data)
        except UnicodeEncodeError:
            line = json.dumps(log_data, default=repr)
        return line


class RequestFields(logging.Filter):
    """Lets every record pass, and gives those of others the ids of the request under way: of uvicorn, of a library."""

    def filter(self, record: logging.LogRecord) -> bool:
        if "request_id" not in record.__dict__:
            record.__dict__.update(log_fields())
        return True
