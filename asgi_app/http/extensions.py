"""ASGI extensions, and a way to break a response off so that the client sees it as incomplete.

Under `asgi-cassandra serve` the scope has the extensions `ABORT` and `UNSENT`. Under other servers it is not enough to
raise an exception: Starlette's `BaseHTTPMiddleware` ends the body of a response before it raises the application's
exception. The server then sends the last chunk, and the client mistakes half of the rows for the whole result. So the
application first sends a message that no middleware and no server mistakes for the end of a body.

It is the message of the extension `http.response.pathsend`, with an empty path. Servers refuse it after the first byte
of a body: they raise, and close the connection without a last chunk. `BaseHTTPMiddleware` passes it on and does not end
the body itself, even if several are stacked. `GZipMiddleware` passes it on too, but sends the start of the response
again before it.
"""

from __future__ import annotations

from contextlib import suppress

from starlette.types import Message, Send

PATHSEND = "http.response.pathsend"

ABORT = "asgi_cassandra.abort"
"""The extension with a function that drops the connection and the data that it still buffers."""

UNSENT = "asgi_cassandra.unsent"
"""The extension with a function that returns how many buffered bytes the client has not read yet."""


class StreamAborted(Exception):
    """A response failed after its first byte. The server must cut the connection, so that the body is incomplete."""


async def break_off(start: Message, send: Send) -> None:
    """Make every layer behind `send` fail before it can end the response that began with the message `start`.

    Returns when the message was accepted. If the client reads nothing, that can take until it leaves; ending the
    response earlier would make it look complete. Raises nothing, because the caller raises the error that broke the
    response. If this call is cancelled, the response may look complete.
    """
    # GZipMiddleware sends `start` again, the same object. A BaseHTTPMiddleware outside fails at a second start, and the
    # next one outside that would end the body. So `start` becomes the same message as the one that follows.
    start.update(type=PATHSEND, path="")
    with suppress(Exception):
        await send({"type": PATHSEND, "path": "", "more_body": True})
