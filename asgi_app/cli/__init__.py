"""The command line, `asgi-cassandra`. Its commands are in `asgi_app.cli.commands`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from asgi_app.cli.signals import INTERRUPTED_LINE, end_at_signals


def main(arguments: Sequence[str] | None = None, prog_name: str | None = None) -> None:
    """Run a command line, by default that of this process, and raise SystemExit with its exit code.

    Whatever is imported here comes after the handlers of signals: it takes a part of a second, in which Ctrl-C must not
    print a traceback.
    """
    end_at_signals(1, INTERRUPTED_LINE)
    from asgi_app.cli.commands import command_line
    from asgi_app.cli.standard_streams import hold_closed_streams

    hold_closed_streams()
    try:
        command_line.main(sys.argv[1:] if arguments is None else [*arguments], prog_name)
    except SystemExit as end:  # the command has said how it ended
        end_at_signals(_number(end.code))
        raise


def _number(code: str | int | None) -> int:
    """Return the exit code of a SystemExit as the system sees it."""
    return code if isinstance(code, int) else int(code is not None)
