"""Read from a paging state of Cassandra where in the ring it continues.

A paging state is opaque to clients. From version 4 of the protocol on, Cassandra has written it in one form since its
version 3.0 (`org.apache.cassandra.service.pager.PagingState`): the key of the partition and the name of the row that
were read last, each after its length, and how many rows are left, in total and in the partition. All four numbers are
unsigned and of variable length. Other servers have forms of their own.
"""

from __future__ import annotations

from cassandra.metadata import Murmur3Token

from asgi_app.tables.framing import vint_at

_MOST_LEFT = 2**31 - 1
"""Cassandra counts rows in 31 bits."""


def token_of(paging_state: bytes) -> int | None:
    """Return the token, by Murmur3, of the partition in which the page ended. None if the state is not of this form."""
    try:
        length, at = vint_at(paging_state, 0)
        key, at = paging_state[at : at + length], at + length
        length, at = vint_at(paging_state, at)
        left, at = vint_at(paging_state, at + length)
        left_in_partition, at = vint_at(paging_state, at)
    except (IndexError, ValueError):
        return None
    if not key or at != len(paging_state) or max(left, left_in_partition) > _MOST_LEFT:
        return None
    token: int = Murmur3Token.hash_fn(key)
    return token
