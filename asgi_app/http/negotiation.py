"""Which of the media types on offer a client wants (RFC 9110 section 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence

import mimeparse


def preferred(accept: str | None, offered: Sequence[str]) -> str | None:
    """Return the offered media type that an `Accept` header prefers; None where it wants none of them.

    Of types it likes equally the first offered is taken. No header, or one that cannot be read, accepts anything.
    """
    wanted = (accept or "*/*").strip().lower()
    if wanted == "*/*":
        return offered[0]
    if wanted in offered:
        return wanted
    try:
        # mimeparse takes the last of equals.
        return mimeparse.best_match(list(reversed(offered)), wanted) or None
    except (mimeparse.MimeTypeParseException, ValueError):
        return offered[0]
