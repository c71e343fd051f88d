"""Formatters and a filter for logging configurations: lines for people, JSON lines, and the ids of the request.

The service itself uses only the standard `logging` and works with any configuration.
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
    """Formats each second once instead of for every record: under load that saves a tenth of a line's cost."""

    _second = -1
    _text = ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """Return the time with milliseconds, by `converter` and the default formats; `datefmt` is ignored."""
        second = int(record.created)
        if second != self._second:
            self._text = time.strftime(self.default_time_format, self.converter(second))
            self._second = second
        return self.default_msec_format % (self._text, record.msecs)  # type: ignore[operator]  # never None here


class ConsoleLines(SteadySeconds):
    """Formats a record as one line for people, in the machine's local time."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")


class JsonLines(SteadySeconds, MsgspecFormatter):
    """Formats a record as one line of JSON: time (RFC 3339, UTC, milliseconds), level, logger, message, its fields."""

    converter = time.gmtime  # type: ignore[assignment]  # as `logging` documents it
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__(
            ["asctime", "levelname", "name", "message"],
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            reserved_attrs=[
                *RESERVED_ATTRS,
                "color_message",
            ],  # uvicorn's message again, with escape sequences
        )

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Return the line. Escape what UTF-8 cannot encode, such as a lone surrogate in an exception's text."""
        try:
            line: str = super().jsonify_log_record(log_data)
        except UnicodeEncodeError:
            line = json.dumps(log_data, default=repr)
        return line


class RequestFields(logging.Filter):
    """Adds the ids of the request being served to the records of other libraries. Lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        if "request_id" not in record.__dict__:
            record.__dict__.update(log_fields())
        return True
