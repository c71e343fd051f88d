"""Break a response off so that no layer and no server lets it look whole.

Under `asgi-cassandra serve` the scope offers the extensions `ABORT` and `UNSENT`. Elsewhere the break travels in the
ASGI messages themselves, because raising alone would let the response look whole.

Starlette's `BaseHTTPMiddleware` ends the body of a response before it raises what the application raised. The server
then sends the last chunk, and the client takes half of the rows for all of them. So a message goes out first that no
layer and no server takes for the end of a body.

It is that of the extension `http.response.pathsend`, with a path that names no file. The servers accept it at no point
after the first byte of a body: they raise, and close the connection without a last chunk. `BaseHTTPMiddleware` passes
it on and leaves the end of the body to it, however often it stands in between. `GZipMiddleware` passes it on too, but
sends the start of the response again before it.
"""

from __future__ import annotations

from contextlib import suppress

from starlette.types import Message, Send

PATHSEND = "http.response.pathsend"

ABORT = "asgi_cassandra.abort"
"""A function that drops the connection together with what it still buffers."""

UNSENT = "asgi_cassandra.unsent"
"""A function that returns how many bytes of the connection's the client has still to take."""


class StreamAborted(Exception):
    """A stream failed after its first byte: the server must cut the connection, so that the body looks incomplete."""


async def break_off(start: Message, send: Send) -> None:
    """Have each layer that `send` leads to fail before it can end the response that began with the message `start`.

    Returns when the message was taken, which a client that takes nothing may delay until it leaves: whatever ended the
    response before would make it look whole. Raises nothing, because the caller raises what broke the response.
    Cancelling it gives up.
    """
    # This very message is what GZipMiddleware sends again. A BaseHTTPMiddleware around it fails at a second start, and
    # the next one around that would end the body. So it becomes the same as what follows.
    start.update(type=PATHSEND, path="")
    with suppress(Exception):
        await send({"type": PATHSEND, "path": "", "more_body": True})
