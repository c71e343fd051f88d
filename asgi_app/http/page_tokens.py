"""Page tokens: positions in a result that clients can store but neither read nor change.

Cassandra's own paging state must never come from a client. If it is truncated, Cassandra closes the connection, which
all requests share; if it belongs to another query, it silently returns that query's rows; and it contains keys in clear
text. So clients get it encrypted and authenticated, and bound to the walk that it continues. It is verified before use.
"""

from __future__ import annotations

import logging
import os
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from math import ceil

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from asgi_app.errors import InvalidPageState

logger = logging.getLogger("asgi_app.paging")

_NONCE_BYTES = 12  # NIST SP 800-38D section 5.2.1.1 recommends 96 bits
_VERSION = b"\x01"
_LONGEST = 96 * 1024
"""The length limit in characters: a key of Cassandra's 64 KiB maximum makes a shorter token."""

_OWN_KEY = (
    "ASGI_CASSANDRA_PAGE_KEYS is not set, so a page_state that this process issues is refused by every other process "
    "and after a restart; give all workers and machines the same keys"
)


class PagePosition(msgspec.Struct, array_like=True, frozen=True):
    """A position in a walk over pages.

    `paging_state` is Cassandra's, for the next page; `fetch_size` is the number of rows per page. `limit` is the
    largest number of rows of the whole walk and `rows_left` the rest of it, both None without a limit. `minimum` is the
    smallest value of the filtered column, None without a filter. `parameters` are those of the walk's first request,
    and `plan` is what they mean, both for walks that any filter may restrict. `slice` is the text of the slice that is
    walked, empty for all rows, and `after` the token behind which the next page begins, None if that is the beginning.
    """

    paging_state: bytes
    fetch_size: int
    limit: int | None = None
    rows_left: int | None = None
    minimum: int | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    plan: str = ""
    slice: str = ""
    after: int | None = None


class _Issued(msgspec.Struct, array_like=True, frozen=True):
    """The content of a token: a position, and the time of issue in seconds since 1970, rounded up."""

    position: PagePosition
    at: int


class PageTokens:
    """Issues tokens under the first key and reads tokens under any key.

    `secrets` are texts of at least 32 characters. Without any, this object makes a key of its own, so that its tokens
    are invalid in other processes and after a restart. The first token under such a key logs a warning, because a
    process cannot know how many others serve. A token is valid for `lifetime` seconds by `clock`; 0 means no limit.
    """

    def __init__(
        self, secrets: Sequence[str] = (), *, lifetime: float = 0, clock: Callable[[], float] = time.time
    ) -> None:
        self._lifetime = lifetime
        self._clock = clock
        keys = [_derive(secret.encode()) for secret in secrets] or [_derive(os.urandom(32))]
        self._ciphers = [AESGCM(key) for key in keys]
        self._warning_is_due = not secrets

    def issue(self, position: PagePosition, walk: str) -> str:
        """Return a URL-safe token for `position` in the walk identified by the text `walk`."""
        if self._warning_is_due:
            self._warning_is_due = False
            logger.warning(_OWN_KEY)
        nonce = os.urandom(_NONCE_BYTES)
        issued = msgspec.msgpack.encode(_Issued(position, ceil(self._clock())))
        sealed = self._ciphers[0].encrypt(nonce, issued, _VERSION + walk.encode())
        return urlsafe_b64encode(_VERSION + nonce + sealed).rstrip(b"=").decode()

    def read(self, token: str, walk: str) -> PagePosition:
        """Return the position of a token that `issue` made for the same walk.

        Raises InvalidPageState for any other text, and for a token older than the lifetime.
        """
        sealed = _unpack(token)
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        for cipher in self._ciphers:
            try:
                opened = cipher.decrypt(nonce, body, _VERSION + walk.encode())
            except InvalidTag:
                continue
            return self._unexpired(msgspec.msgpack.decode(opened, type=_Issued))
        raise InvalidPageState

    def _unexpired(self, issued: _Issued) -> PagePosition:
        if self._lifetime and self._clock() > issued.at + self._lifetime:
            raise InvalidPageState
        return issued.position


def _derive(secret: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"asgi-cassandra page token").derive(secret)


def _unpack(token: str) -> bytes:
    if not token or len(token) > _LONGEST or not token.isascii():
        raise InvalidPageState
    try:
        sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        raise InvalidPageState from None
    # Decoding ignores characters outside the alphabet. Accept only the text that was issued, so a token has one form.
    canonical = urlsafe_b64encode(sealed).rstrip(b"=").decode() == token
    if not canonical or sealed[:1] != _VERSION or len(sealed) < 1 + _NONCE_BYTES + 16:
        raise InvalidPageState
    return sealed
