"""Encode values for Cassandra."""


class Encoded(bytes):
    """The bytes of one column's value, as Cassandra stores them."""

    __slots__ = ()
