"""Rules for the indexes of a declared table: which storage-attached indexes Cassandra can make."""

from __future__ import annotations

import re
from collections.abc import Iterator

from asgi_app.tables.declared import DURATION, Declared, parts
from asgi_app.tables.table import Index, indexes_of
from asgi_app.tables.types import CqlType, ListOf, MapOf, Native, SetOf, VectorOf, is_frozen

_WORD = re.compile(r"\w+", re.ASCII)


def _declared_indexes(declared: Declared) -> Iterator[str]:
    """Yield what is wrong with the declared indexes."""
    seen: set[tuple[str, str]] = set()
    for column, hint in declared.hints.items():
        for index in indexes_of(column, hint):
            if column in declared.types:
                yield from _index_problems(declared, index)
            if (index.column, index.target) in seen:
                yield f"{column} has the same index twice."
            seen.add((index.column, index.target))


def _index_problems(declared: Declared, index: Index) -> Iterator[str]:
    if declared.is_counter:
        yield f"{index.column} cannot have an index: Cassandra has none on tables of counters."
    if declared.resource.partition_key == (index.column,):
        yield f"{index.column} needs no index: it is the whole partition key."
    for problem in _type_problems(index, declared.types[index.column]):
        yield f"{index.column}: {problem}"
    is_vector = isinstance(declared.types[index.column], VectorOf)
    if is_vector and f"-{index.column}" in declared.resource.clustering:
        yield f"{index.column} cannot have an index: Cassandra has none on vectors in descending order."


def _type_problems(index: Index, cql_type: CqlType) -> Iterator[str]:
    """Yield why Cassandra cannot make this index on a column of this type."""
    if index.kind != "sai":
        yield "only a storage-attached index can be declared; others are read from the live schema."
    if not _WORD.fullmatch(index.column):
        yield "Cassandra has no indexes on names with other characters than letters, digits and underscores."
    if index.name is not None and not _WORD.fullmatch(index.name):
        yield f"the name of an index has letters, digits and underscores, not {index.name!r}."
    if DURATION in parts(cql_type):
        yield "Cassandra has no indexes on durations."
    elif isinstance(cql_type, VectorOf):
        yield from _vector_problems(index, cql_type)
    elif Native("blob") in _indexed(cql_type, index.target):
        yield "Cassandra has no storage-attached indexes on blobs."
    else:
        yield from _target_problems(index, cql_type)


def _vector_problems(index: Index, vector: VectorOf) -> Iterator[str]:
    """Yield why this vector cannot have this index."""
    if index.target:
        yield f"a vector has no {index.target}() to index."
    if vector.element != Native("float"):
        yield f"only vectors of float can be indexed, not {vector}."
    if vector.size == 1 and index.similarity in (None, "cosine"):
        yield "a vector of one element has no cosine similarity; choose dot_product or euclidean."


def _target_problems(index: Index, cql_type: CqlType) -> Iterator[str]:
    """Yield why the index cannot have this target, or a similarity, on a column that is no vector."""
    if index.similarity is not None:
        yield f"similarity is for vectors, not for {cql_type}."
    if not is_frozen(cql_type) and not isinstance(cql_type, ListOf | SetOf | MapOf):
        yield "Cassandra has no indexes on user-defined types that are not frozen."
    elif index.target not in (targets := _targets(cql_type)):
        usable = " or ".join(f"target={target!r}" if target else "no target" for target in targets)
        yield f"an index on {cql_type} has {usable}."


def _indexed(cql_type: CqlType, target: str) -> tuple[CqlType, ...]:
    """Return the types of the values in the index: of a collection that is not frozen, those of its members."""
    if isinstance(cql_type, MapOf) and not cql_type.frozen:
        members = {"keys": (cql_type.key,), "entries": (cql_type.key, cql_type.value)}
        return members.get(target, (cql_type.value,))
    if isinstance(cql_type, ListOf | SetOf) and not cql_type.frozen:
        return (cql_type.element,)
    return (cql_type,)


def _targets(cql_type: CqlType) -> tuple[str, ...]:
    """Return the targets that an index on this type can have."""
    if not isinstance(cql_type, ListOf | SetOf | MapOf):
        return ("",)
    if cql_type.frozen:
        return ("full",)
    return ("", "keys", "values", "entries") if isinstance(cql_type, MapOf) else ("", "values")


INDEX_RULES = (_declared_indexes,)
"""Functions that yield mistakes of one declaration."""
