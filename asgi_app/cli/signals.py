"""Signals that end a command: SIGTERM does what Ctrl-C does. A process that was started with SIGINT ignored ignores it.

While a command starts and nothing is open yet, a signal ends the process at once (`end_at_signals`). While it works, a
signal unwinds it (`interrupts`), or sets off what the command itself wants (`Interruption`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = "Interrupted."
INTERRUPTED_LINE = f"Error: {INTERRUPTED}\n"

_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None


def end_at_signals(code: int, text: str = "") -> None:
    """Let signals end the process at once, whatever it does, with an exit code and a text on standard error."""
    _handle(lambda *_: _end(code, text))


@contextmanager
def interrupts() -> Iterator[None]:
    """Let signals raise KeyboardInterrupt in the block, so that what it opened is closed."""
    with _handled(signal.default_int_handler):
        yield


class Interruption:
    """The first signal that arrives within `watched`; a second one ends the process at once."""

    def __init__(self) -> None:
        self.has_arrived = False
        self._call: Callable[[], object] | None = None

    @contextmanager
    def watched(self) -> Iterator[Interruption]:
        """Handle signals for the duration of the block."""
        with _handled(self._arrive):
            yield self

    def on_arrival(self, call: Callable[[], object]) -> None:
        """Call a function when the signal arrives, at once if it has. It runs between any steps of the main thread."""
        self._call = call
        if self.has_arrived:
            call()

    def _arrive(self, _number: int, _frame: FrameType | None) -> None:
        if self.has_arrived:
            _end(1, INTERRUPTED_LINE)
        self.has_arrived = True
        if self._call is not None:
            self._call()


def _end(code: int, text: str) -> NoReturn:
    os.write(2, text.encode())
    os._exit(code)


@contextmanager
def _handled(handler: _Handler) -> Iterator[None]:
    before = _handle(handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _handle(handler: _Handler) -> dict[signal.Signals, _Handler]:
    """Set the handler of both signals, and return those from before."""
    numbers = [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in numbers}
