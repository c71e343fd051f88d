"""Rules for the options of a resource beside one another: who sees and sets a column, and how rows are written."""

from __future__ import annotations

from collections.abc import Iterator

from asgi_app.tables.declared import COUNTER, Declared, names_of
from asgi_app.tables.live_table import LiveTable
from asgi_app.tables.option_form import CONSISTENCY_LEVELS
from asgi_app.tables.resource import OWN_KEYSPACES, UNIQUE_TYPES, Resource

OPTIONS_OF_WRITES = (
    "generated",
    "require_match",
    "ttl",
    "ttl_on_patch",
    "batch",
    "delete_prefix",
    "delete_counters",
    "patch_creates",
    "check",
)
"""The options that say something about writes, beside `writes`."""


def _bound_columns(declared: Declared) -> Iterator[str]:
    """Yield what is wrong with `bound`: it must hold for every row that a request can reach."""
    resource = declared.resource
    known = [name for name in resource.bound if name in declared.hints]
    if outside := [name for name in known if name not in resource.primary_key]:
        yield f"bound names {names_of(outside)}, but only key columns can be bound."
    for option in ("generated", "hidden", "read_only", "allow_filtering"):
        if both := [name for name in known if name in getattr(resource, option)]:
            yield f"{names_of(both)} cannot be in bound and in {option}: a bound column is never seen or sent."
    flags = [name in resource.bound for name in resource.clustering_columns]
    if flags != sorted(flags, reverse=True):
        yield "bound clustering columns must come before the others: Cassandra reads prefixes of the key."


def _shown_columns(declared: Declared) -> Iterator[str]:
    """Yield conflicts between options that say who sees, sets or filters by a column."""
    resource = declared.resource
    unbound = [name for name in resource.primary_key if name not in resource.bound]
    if key := [name for name in unbound if name in resource.hidden]:
        yield f"hidden names {names_of(key)}, but key columns are in every address."
    if key := [name for name in unbound if name in resource.read_only and name not in resource.generated]:
        yield f"read_only names {names_of(key)}, but nothing else sets these key columns."
    for option in ("allow_filtering", "read_only"):
        if both := [name for name in resource.hidden if name in getattr(resource, option)]:
            yield f"{names_of(both)} cannot be in hidden and in {option}."


def _version_column(declared: Declared) -> Iterator[str]:
    """Yield what is wrong with `version` and `require_match`."""
    resource, version = declared.resource, declared.resource.version
    if resource.require_match and (version is None or resource.writes != "conditional"):
        yield 'require_match needs a version column and writes="conditional".'
    if version is None or version not in declared.types:
        return
    if declared.types[version] not in UNIQUE_TYPES:
        yield f"version names {version}, whose type is {declared.types[version]} and must be uuid or timeuuid."
    if version in (*resource.primary_key, *resource.static):
        yield f"version names {version}, which must be a column of the row outside of the key."
    if resource.writes == "plain":
        yield 'version needs writes="conditional": plain writes cannot honour If-Match.'
    if version in (*resource.hidden, *resource.generated):
        yield f"{version} cannot be in version and in hidden or generated."


def _kind_of_writes(declared: Declared) -> Iterator[str]:
    """Yield options that the kind of writes rules out."""
    resource = declared.resource
    yield from problems_without_columns(resource)
    if resource.writes == "conditional":
        if resource.patch_creates:
            yield 'patch_creates needs writes="plain": a conditional PATCH changes only rows that exist.'
        if resource.delete_prefix:
            yield 'delete_prefix needs writes="plain": Cassandra deletes many rows only without a condition.'
        if resource.batch == "logged" and not declared.makes_keys:
            yield (
                'batch="logged" with writes="conditional" needs a key column of type uuid or timeuuid in generated: '
                'rows whose key the client chooses are written by one condition each, as batch="per_row" does.'
            )
    if resource.delete_prefix and not resource.clustering:
        yield "delete_prefix needs clustering columns: without them a partition has one row."


def problems_without_columns(resource: Resource | LiveTable) -> Iterator[str]:
    """Yield what is wrong with the options of writes, whatever the columns of the table are."""
    useless = [option for option in OPTIONS_OF_WRITES if getattr(resource, option)]
    if resource.writes == "none" and useless:
        yield f'writes="none" rules out {names_of(useless)}.'
    if resource.writes != "none" and resource.keyspace in OWN_KEYSPACES:
        yield f'{resource.keyspace} is one of Cassandra\'s own keyspaces, which needs writes="none".'
    if unknown := [level for level in resource.consistency if level not in CONSISTENCY_LEVELS]:
        yield f"consistency names {names_of(unknown)}; it can name {names_of(sorted(CONSISTENCY_LEVELS))}."


def _counters(declared: Declared) -> Iterator[str]:
    """Yield what a table of counters cannot have."""
    resource = declared.resource
    if not declared.is_counter:
        if resource.delete_counters:
            yield f"delete_counters is for tables of counters, and {resource.struct.__name__} has none."
        return
    others = [name for name, found in declared.types.items() if found != COUNTER and name not in resource.primary_key]
    if others:
        yield f"a table of counters cannot have other columns beside the key: {names_of(others)}."
    if resource.writes == "conditional":
        yield 'counters need writes="plain" or "none": they take no conditions.'
    unfit = [name for name in ("ttl", "ttl_on_patch", "batch", "generated", "version") if getattr(resource, name)]
    if unfit:
        yield f"counters can only be incremented, which rules out {names_of(unfit)}."


OPTION_RULES = (_bound_columns, _shown_columns, _version_column, _kind_of_writes, _counters)
"""Functions that yield mistakes of one declaration."""
